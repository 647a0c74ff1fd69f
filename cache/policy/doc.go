// Package policy decides what stays in a cache of limited bytes. It is pure: no clock, no goroutine, no lock, no I/O, so that the same code
// runs in the live cache, in its tests against a model and in a trace simulator. It does not say where pages lie or how they are read.
// Start at S3FIFO, the eviction policy, then Protected, which shares one limit between data and metadata.
package policy
