package endpoint

import (
	"net/http"
	"slices"
	"strings"
)

// The hit path is an allow-list. A header or parameter that is not known here may change what the answer ought to be (a version id,
// a part number, response-* overrides, a customer's encryption key, a bucket owner to be checked), so such a request goes to the
// origin, which knows. The price is one origin request; the alternative is a wrong answer.

// checksumMode is a header, and a parameter of presigned URLs.
const checksumMode = "X-Amz-Checksum-Mode"

// apiVersion is a header that the C++ SDK sends with every request, pyarrow's among them, and theVersion the only one that S3's API has.
const (
	apiVersion = "X-Amz-Api-Version"
	theVersion = "2006-03-01"
)

// hitHeaders are the request headers that the hit path understands or may ignore, by canonical name.
var hitHeaders = map[string]bool{
	// Served here.
	"Range": true, "If-Match": true, "If-None-Match": true, "If-Modified-Since": true, "If-Unmodified-Since": true,
	// Checksums of full answers are told if the origin told them. An object need not have any, so leaving them out is always a
	// legal answer to ENABLED (S3 itself leaves them out of ranges), and clients then skip that check of theirs: aws-sdk-go-v2 and
	// the Java, Python and C++ SDKs send this header by default since January 2025, so forwarding it would be the end of the cache.
	checksumMode: true,
	apiVersion:   true,
	// The signature.
	"Authorization": true, "Date": true, "X-Amz-Date": true, "X-Amz-Content-Sha256": true, "X-Amz-Security-Token": true,
	// "append-md5" of older Java SDKs: an offer to accept a trailer, which S3 may decline.
	"X-Amz-Te": true,
	// What describes the client, the connection or a body that is not there.
	"User-Agent": true, "X-Amz-User-Agent": true, "Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Accept-Charset": true,
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Expect": true, "Host": true,
	"Content-Type": true, "Content-Length": true,
	// Tracing.
	"Traceparent": true, "Tracestate": true, "Baggage": true, "X-Amzn-Trace-Id": true, "X-Request-Id": true, "X-Correlation-Id": true,
	"B3": true, "Uber-Trace-Id": true, "X-Cloud-Trace-Context": true,
	// Proxies on the way.
	"Via": true, "Forwarded": true, "X-Forwarded-For": true, "X-Forwarded-Host": true, "X-Forwarded-Proto": true, "X-Forwarded-Port": true,
	"X-Real-Ip": true, "X-Envoy-Expected-Rq-Timeout-Ms": true, "X-Envoy-Attempt-Count": true,
}

// hitHeaderPrefixes are families of such headers: SDK invocation and retry counters, and tracing.
var hitHeaderPrefixes = []string{"Amz-Sdk-", "X-B3-", "X-Datadog-"}

// headersAllowHit reports whether every header is one that the hit path knows.
func headersAllowHit(h http.Header) bool {
	for name, values := range h {
		if !hitHeaders[name] && !hasAnyPrefix(name, hitHeaderPrefixes) {
			return false
		}
		if name == checksumMode && (len(values) != 1 || !strings.EqualFold(values[0], "ENABLED")) {
			return false
		}
		if name == apiVersion && slices.ContainsFunc(values, func(v string) bool { return v != theVersion }) {
			return false
		}
	}
	return true
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// objectAllowsHit reports whether a GET or HEAD of an object may be answered here. op is the operation's name in S3's API: the SDKs
// mark their URLs with x-id=<op>. A presigned URL may carry the checksum mode as a parameter.
func objectAllowsHit(r *http.Request, q query, op string) bool {
	return paramsAllowHit(q, op) && headersAllowHit(r.Header)
}

func paramsAllowHit(q query, op string) bool {
	for _, p := range q {
		if !isAuthParam(p.name) && (p.name != "x-id" || p.value != op) && (p.name != checksumMode || p.value != "ENABLED") {
			return false
		}
	}
	return true
}

// listParams are the parameters of both listings that are served here; anything else goes to the origin.
var listParams = map[string]bool{
	"list-type": true, "prefix": true, "delimiter": true, "max-keys": true, "encoding-type": true, "x-id": true,
	"marker": true, "start-after": true, "continuation-token": true, "fetch-owner": true,
}

// bucketAllowsHit reports whether a GET of a bucket is a listing that is served here.
func bucketAllowsHit(r *http.Request, q query) bool {
	for _, p := range q {
		if !listParams[p.name] && !isAuthParam(p.name) || p.name == "list-type" && p.value != "2" {
			return false
		}
	}
	rest := r.Header
	if asksRestoreStatus(r.Header) {
		rest = r.Header.Clone()
		rest.Del(optionalAttributes)
	}
	return headersAllowHit(rest)
}

// optionalAttributes asks a listing for more than it tells by itself. S3 knows one such attribute, and Trino asks for it in every listing
// of a table: were these listings sent on, none of them would confirm a version.
const optionalAttributes = "X-Amz-Optional-Object-Attributes"

func asksRestoreStatus(h http.Header) bool {
	v := h[optionalAttributes]
	return len(v) == 1 && strings.TrimSpace(v[0]) == "RestoreStatus"
}

// onlyMarker reports whether the query holds nothing but the SDK's marker and a signature: a simple PUT, DELETE or HEAD.
func onlyMarker(q query) bool {
	for _, p := range q {
		if p.name != "x-id" && !isAuthParam(p.name) {
			return false
		}
	}
	return true
}
