// Package config is the sidecar's configuration: the tree of keys as structs, its defaults, and Validate, which reports every fault at once
// with its path. It starts nothing and knows no other part of the program; cmd/alio turns it into parts. The comments on the fields
// are what docs/config.md shows. Start at Config, then Load.
package config

//go:generate go test -run TestReferenceIsCurrent -update .
