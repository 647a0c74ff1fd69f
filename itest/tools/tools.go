//go:build tools

// Package tools pins the test-only servers that the integration tests run, and the generators of `make proto`. It is a module of its own, so that nothing of
// theirs (some are AGPL) can be linked into the product: its go.sum is their checksum, and nothing imports it.
package tools

import (
	_ "github.com/fsouza/fake-gcs-server"
	_ "github.com/versity/versitygw/cmd/versitygw"
	_ "google.golang.org/grpc/cmd/protoc-gen-go-grpc"
	_ "google.golang.org/protobuf/cmd/protoc-gen-go"
)
