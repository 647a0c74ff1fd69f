// Package endpoint is the protocol half of the S3 door: it parses and checks S3 requests (SigV4, ranges, conditions, listings), asks a
// Backend for objects, and writes what an S3 client expects, errors included. It holds no bytes and knows no cache. Start at
// Handler.
package endpoint
