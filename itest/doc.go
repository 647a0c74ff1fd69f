// Package itest tests Alio from outside, against real servers: the sidecar is the built binary, the store an S3 server, the
// engine Trino. There is nothing to import here; itest/harness is what the tests stand on. No test skips: a server that cannot be
// had is a failure that says how to get it. Run them with `make itest`.
package itest
