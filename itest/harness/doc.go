// Package harness fetches, verifies, starts and stops the real servers that Alio is tested and measured against: an S3 server
// (versitygw), a Hadoop file system, Trino, and the alio binary itself. Everything comes from package registries by pinned version and checksum and
// lies under CacheDir, never in the tree; every server listens on loopback ports of its own, keeps its output for a failing
// test, and runs in a process group of its own that ends with the process that started it, even when that one is killed.
//
// It is not a mock of anything: the measuring proxy (package s3proxy, beside this one) is the only thing between an engine and
// its store. It never skips: what cannot be fetched or started is an error that names the way out. Start at S3 for a test that
// needs a store, at StartTrino for one that needs an engine.
package harness
