// Package endpoint is the protocol half of the S3 door: it parses and checks S3 requests (SigV4, ranges, conditions, listings), asks a
// Backend for objects, and writes what an S3 client expects, errors included. It holds no bytes and knows no cache. Start at
// Handler.
//
// What it does with a request:
//
//	GET, HEAD of an object        served, if allow.go knows every header and parameter; else forwarded to the origin
//	GET of a bucket               both listings and the location served; any other sub-resource forwarded, but for ?session
//	HEAD of a bucket, GET /       served from the mounts
//	PUT, DELETE of an object      forwarded, the payload checked on the way; with any parameter, or a copy source: 501
//	all else that changes data    501, naming the operation and the way out
package endpoint
