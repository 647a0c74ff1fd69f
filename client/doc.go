// Package client reads files through the sidecar on the same machine. Most bytes do not pass through the sidecar: Open tells where an object's pages
// lie in the sidecar's segment files, and a File reads them there itself, checking every sum. What is not there, or does not hold, is asked of
// the sidecar, and where that does not answer, of an OriginReader that the caller may give. It writes no segment and knows no origin of its own.
//
// docs/protocol.md is the protocol that it speaks, for clients in other languages. Start at New, then Client.Open and File.ReadAt.
package client
