package endpoint

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxKey is the longest key that S3 allows, in bytes of UTF-8.
const maxKey = 1024

// target is what a request names: a bucket (a mount), a key and the query, all decoded exactly once.
type target struct {
	rawPath string // the path as it came, escaped
	bucket  string // "" is the service itself
	key     string // "" is the bucket itself
	query   query
}

// parseTarget reads the request's target. It works from the request line as it came: url.URL.Path cannot tell "%2F" from "/", and
// whatever cleans paths would turn "a//b" and ".." into other keys.
func parseTarget(r *http.Request, domain string) (target, error) {
	raw, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(raw, "/") { // absolute form, or a request that no server parsed
		raw, rawQuery = r.URL.EscapedPath(), r.URL.RawQuery
	}
	t := target{rawPath: raw}
	path, ok := unescape(raw, false)
	if !ok || !utf8.ValidString(path) {
		return t, &apiError{status: http.StatusBadRequest, code: "InvalidURI", message: "The path is not percent-encoded UTF-8."}
	}
	q, ok := parseQuery(rawQuery)
	if !ok {
		return t, &apiError{status: http.StatusBadRequest, code: "InvalidURI", message: "The query is not percent-encoded."}
	}
	t.query = q
	return t, t.locate(path, r.Host, domain)
}

// locate sets bucket and key, given the decoded path and the host. Both are parts of the strings given, but for the bucket of a host in
// upper case.
func (t *target) locate(path, host, domain string) error {
	path = strings.TrimPrefix(path, "/")
	if bucket := virtualBucket(host, domain); bucket != "" {
		t.bucket, t.key = bucket, path
	} else {
		t.bucket, t.key, _ = strings.Cut(path, "/")
		if t.bucket == "" && t.key != "" {
			return &apiError{status: http.StatusBadRequest, code: "InvalidBucketName",
				message: "The path starts with two slashes, so it names no bucket. Path style is /bucket/key."}
		}
	}
	if len(t.key) > maxKey {
		return &apiError{status: http.StatusBadRequest, code: "KeyTooLongError", message: "Your key is too long: S3 keys hold at most 1024 bytes."}
	}
	return nil
}

// virtualBucket returns the bucket that the host names below the domain (".s3.example"), or "" for path style.
func virtualBucket(host, domain string) string {
	if domain == "" {
		return ""
	}
	host = hostOnly(host)
	cut := len(host) - len(domain)
	if cut <= 0 || !strings.EqualFold(host[cut:], domain) {
		return ""
	}
	return strings.ToLower(host[:cut])
}

// hostOnly drops a port.
func hostOnly(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// param is one query parameter, decoded. "?acl" and "?acl=" are the same, to S3's signatures too.
type param struct{ name, value string }

// query holds the parameters in the order in which they came, duplicates included.
type query []param

func parseQuery(raw string) (query, bool) {
	if raw == "" {
		return nil, true
	}
	q := make(query, 0, strings.Count(raw, "&")+1)
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, okN := unescape(name, true)
		v, okV := unescape(value, true)
		if !okN || !okV {
			return nil, false
		}
		q = append(q, param{n, v})
	}
	return q, true
}

// get returns the first value of a parameter.
func (q query) get(name string) (string, bool) {
	for _, p := range q {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

func (q query) has(name string) bool {
	_, ok := q.get(name)
	return ok
}

// duplicate returns the name of a parameter that is given twice, of those that match, or "".
func (q query) duplicate(match func(name string) bool) string {
	for i, p := range q {
		if match(p.name) && q[:i].has(p.name) {
			return p.name
		}
	}
	return ""
}

// without drops a parameter.
func (q query) without(name string) query {
	return slices.DeleteFunc(slices.Clone(q), func(p param) bool { return p.name == name })
}

// encode spells the parameters as S3 canonicalises them, in the order of q.
func (q query) encode() string {
	var b []byte
	for i, p := range q {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscaped(b, p.name, false)
		b = append(b, '=')
		b = appendEscaped(b, p.value, false)
	}
	return string(b)
}

// withoutAuth drops what a presigned URL added to the query.
func (q query) withoutAuth() query {
	return slices.DeleteFunc(slices.Clone(q), func(p param) bool { return isAuthParam(p.name) })
}

// isAuthParam reports whether a parameter belongs to a presigned URL's signature.
func isAuthParam(name string) bool {
	switch name {
	case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature",
		"X-Amz-Security-Token", "X-Amz-Content-Sha256":
		return true
	}
	return false
}

// unescape decodes percent-encoding, and plus as a space where plus says so (in queries). It allocates only if s holds an escape.
func unescape(s string, plus bool) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && (!plus || strings.IndexByte(s, '+') < 0) {
		return s, true
	}
	b, ok := appendUnescaped(make([]byte, 0, len(s)), s, plus)
	return string(b), ok
}

// appendUnescaped appends what unescape returns.
func appendUnescaped(b []byte, s string, plus bool) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%':
			if i+2 >= len(s) {
				return b, false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return b, false
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		case s[i] == '+' && plus:
			b = append(b, ' ')
		default:
			b = append(b, s[i])
		}
	}
	return b, true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendEscaped appends s in AWS's URI encoding: all but the unreserved characters of RFC 3986, with upper-case hex; a slash stays
// where keepSlash says so.
func appendEscaped(b []byte, s string, keepSlash bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', c == '/' && keepSlash:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
