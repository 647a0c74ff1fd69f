// Package sidecar is the server's middle: it turns a read of mount/path into a read of pages. It knows the namespace (which mount is
// which origin), how fresh an answer must be (package freshness), how an object is cut (formats), and drives the page cache. It
// knows interfaces only: concrete origins, tiers and doors are handed in by cmd/alio. Start at Sidecar.Open; ARCHITECTURE.md
// follows one read through it.
package sidecar
