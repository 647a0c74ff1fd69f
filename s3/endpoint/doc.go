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
//
// An origin that does not speak S3 gets no request as it came (store.go): a read is answered from what its objects are, a PUT or DELETE is one call
// that writes or removes, and what needs more is 501, naming the parameter or header. A mount that takes no writes answers 403.
//
// # The lean way
//
// Handler is an http.Handler, and net/http costs more than a cached page does. So a Door reads plain TCP and Unix connections itself where one
// request ends and the next begins, inside the Read that net/http calls there (leanconn.go). It answers (leanserve.go) what it surely
// understands (leanparse.go) and what the backend has at hand (Hits): GETs of whole objects or of one range, with no condition but an
// If-Match of one version, with headers of the allow-list only, and with a signature in the Authorization header that holds
// (leanauth.go). Everything else, refusals and misses included, goes to net/http and Handler with not a byte of it changed, on the same
// connection. The lean way decides nothing by itself: allow-list, target, range, signature and grants are the functions and tables that
// Handler uses, and a random comparison (TestLeanSaysTheSame) and a fuzz target (FuzzLeanParse) hold the two ways together.
//
// net/http keeps a connection for good once it has been sent what has no certain end: a chunked body, a head beyond 8 KiB, a line that ends in a
// bare LF. alio_s3_lean_requests_total tells how requests went.
//
// Each signature is computed anew. The SDKs sign every request with its own time and invocation id, so the same signature never comes twice, but
// for retries of some clients; what is remembered is the signing key with its HMAC's state.
package endpoint
