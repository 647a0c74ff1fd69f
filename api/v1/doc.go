// Package apiv1 is version 1 of the sidecar's control protocol: alio.proto and the Go that `make proto` generates from it. docs/protocol.md
// says how a client uses it. Vectors that clients in every language must agree on lie in ../testdata.
package apiv1
