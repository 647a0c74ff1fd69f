package endpoint

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// framing is what the head of a request tells of where the request ends.
type framing int

const (
	incomplete framing = iota // the head goes on
	framed                    // after head and body
	unframed                  // that cannot be said for sure: only net/http may read this connection from here on
)

const (
	maxLeanHeaders = 40
	maxLeanParams  = 8
	maxLeanName    = 64 // bytes of a header's name
)

// headerRole is what a header of the allow-list means to the lean way.
type headerRole uint8

const (
	roleUnknown headerRole = iota // not in the allow-list
	roleIgnored
	roleGeneral // known, but left to net/http and Handler
	roleHost
	roleConnection
	roleContentLength
	roleTransferEncoding
	roleRange
	roleIfMatch
	roleChecksumMode
	roleAPIVersion
	roleAuthorization
	roleDate
	rolePayloadHash
)

// leanRoles are the headers of the allow-list. Content-Length and Transfer-Encoding say where a request ends, so they are looked at in any
// request.
var leanRoles = func() map[string]headerRole {
	roles := make(map[string]headerRole, len(hitHeaders)+1)
	for name := range hitHeaders {
		roles[name] = roleIgnored
	}
	for name, role := range map[string]headerRole{
		"Host": roleHost, "Connection": roleConnection, "Content-Length": roleContentLength, "Transfer-Encoding": roleTransferEncoding,
		"Range": roleRange, "If-Match": roleIfMatch, "If-None-Match": roleGeneral, "If-Modified-Since": roleGeneral, "If-Unmodified-Since": roleGeneral,
		"Expect": roleGeneral, checksumMode: roleChecksumMode, apiVersion: roleAPIVersion, "Authorization": roleAuthorization, "X-Amz-Date": roleDate,
		"X-Amz-Content-Sha256": rolePayloadHash,
	} {
		roles[name] = role
	}
	return roles
}()

// leanRequest is a request as it lies in a connection's buffer. All its strings are views of that buffer, or of the ones below: they are
// good until the buffer is read into again.
type leanRequest struct {
	head  int   // bytes, with the empty line
	body  int64 // bytes that follow the head
	plain bool  // a GET that the lean way understands in every part; the fields below are then set

	target
	path      string // decoded
	rng       byteRange
	etag      []byte // of If-Match, in quotes; nil: no such header
	checksums bool   // asked for

	authorization, amzDate, payloadHash string
	headers                             []leanHeader // all but Host
	host                                string

	seen       uint32 // roles, as bits
	headersBuf [maxLeanHeaders]leanHeader
	paramsBuf  [maxLeanParams]param
	pathBuf    []byte
	etagBuf    []byte
	name       []byte // mount/path
	sig        signature
	signed     signedRequest
}

type leanHeader struct {
	name, value string // the value without the spaces around it
	amz         bool   // one that must be signed
}

// view makes a string of bytes that do not change as long as it is used.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// parse reads a request's head. What it finds is what net/http and Handler would find in the same bytes: wherever that is not certain at a
// glance, the request is not plain, and where even its end is not certain, it is unframed.
func (q *leanRequest) parse(b []byte, domain string) framing {
	q.head, q.body, q.plain, q.seen, q.etag, q.checksums = 0, 0, true, 0, nil, false
	q.authorization, q.amzDate, q.payloadHash, q.host = "", "", "", ""
	q.rng, q.target, q.headers = byteRange{}, target{}, q.headersBuf[:0]
	for first := true; ; first = false {
		end := bytes.IndexByte(b[q.head:], '\n')
		if end < 0 {
			return incomplete
		}
		line := b[q.head : q.head+end]
		q.head += end + 1
		if end == 0 || line[end-1] != '\r' {
			return unframed
		}
		line = line[:end-1]
		switch {
		case first:
			if !q.requestLine(line) {
				return unframed
			}
		case len(line) == 0:
			q.plain = q.plain && q.finish(domain)
			return framed
		case !q.header(line):
			return unframed
		}
	}
}

// requestLine returns false for what is not a request line of HTTP/1.1 or 1.0.
func (q *leanRequest) requestLine(line []byte) bool {
	method, rest, ok1 := bytes.Cut(line, []byte(" "))
	uri, proto, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || len(method) == 0 || len(uri) == 0 || string(method) == "CONNECT" {
		return false
	}
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	for _, c := range uri {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	switch string(proto) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		q.plain = false
	default:
		return false
	}
	if string(method) != "GET" || uri[0] != '/' {
		q.plain = false
		return true
	}
	raw, query, _ := strings.Cut(view(uri), "?")
	q.rawPath = raw
	q.plain = q.plain && q.parseParams(query)
	return true
}

// parseParams reads the query, if nothing in it is escaped: S3's operations have none that would need it, but for presigned URLs.
func (q *leanRequest) parseParams(raw string) bool {
	q.query = q.paramsBuf[:0]
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		if len(q.query) == maxLeanParams || strings.IndexByte(pair, '%') >= 0 || strings.IndexByte(pair, '+') >= 0 {
			return false
		}
		name, value, _ := strings.Cut(pair, "=")
		q.query = append(q.query, param{name, value})
	}
	return true
}

// header returns false for a line that net/http would refuse, or read otherwise than by itself.
func (q *leanRequest) header(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return false
	}
	var buf [maxLeanName]byte
	name, ok := canonical(&buf, line[:colon])
	if !ok {
		return false
	}
	value := line[colon+1:]
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for n := len(value); n > 0 && (value[n-1] == ' ' || value[n-1] == '\t'); n = len(value) {
		value = value[:n-1]
	}
	if !isText(value) {
		return false
	}
	role := leanRoles[string(name)]
	if role > roleGeneral {
		if q.seen&(1<<role) != 0 {
			q.plain = false
			return role != roleContentLength && role != roleHost
		}
		q.seen |= 1 << role
	}
	if role == roleUnknown && !hasAnyPrefix(view(name), hitHeaderPrefixes) || role == roleGeneral || len(q.headers) == maxLeanHeaders {
		q.plain = false
	} else if role != roleHost {
		q.headers = append(q.headers, leanHeader{name: view(line[:colon]), value: view(value), amz: len(name) > 6 && string(name[:6]) == "X-Amz-"})
	}
	return q.take(role, view(value))
}

// take keeps a header's value.
func (q *leanRequest) take(role headerRole, value string) bool {
	switch role {
	case roleTransferEncoding:
		return false
	case roleContentLength:
		n, ok := digits(value)
		q.body = n
		q.plain = q.plain && value == "0"
		return ok && len(value) < 19 // as a number; 19 digits may not be one
	case roleHost:
		q.host = value
	case roleConnection:
		q.plain = q.plain && strings.EqualFold(value, "keep-alive")
	case roleRange:
		q.rng = parseRangeValue(value)
	case roleIfMatch:
		q.plain = q.plain && q.match(value)
	case roleChecksumMode:
		q.checksums = true
		q.plain = q.plain && strings.EqualFold(value, "ENABLED")
	case roleAPIVersion:
		q.plain = q.plain && value == theVersion
	case roleAuthorization:
		q.authorization = value
	case roleDate:
		q.amzDate = value
	case rolePayloadHash:
		q.payloadHash = value
	}
	return true
}

// match takes an If-Match that names one version, with its quotes or, as some SDKs send it, without.
func (q *leanRequest) match(value string) bool {
	tag := strings.Trim(value, `"`)
	if tag == "" || tag == "*" || strings.HasPrefix(tag, "W/") || strings.ContainsAny(tag, `", `) || strings.IndexByte(tag, '\t') >= 0 {
		return false
	}
	q.etagBuf = append(append(append(q.etagBuf[:0], '"'), tag...), '"')
	q.etag = q.etagBuf
	return true
}

// finish resolves the target once all headers are known.
func (q *leanRequest) finish(domain string) bool {
	if q.rng.set && q.rng.suffix == 0 || q.host == "" || !paramsAllowHit(q.query, "GetObject") {
		return false
	}
	for i := 0; i < len(q.host); i++ {
		if !isHost[q.host[i]] {
			return false
		}
	}
	for _, p := range q.query {
		q.checksums = q.checksums || p.name == checksumMode
	}
	q.path = q.rawPath
	if strings.IndexByte(q.rawPath, '%') >= 0 {
		var ok bool
		q.pathBuf, ok = appendUnescaped(q.pathBuf[:0], q.rawPath, false)
		q.path = view(q.pathBuf)
		if !ok || !utf8.ValidString(q.path) {
			return false
		}
	}
	if q.locate(q.path, q.host, domain) != nil || q.bucket == "" || q.key == "" {
		return false
	}
	q.name = append(append(append(q.name[:0], q.bucket...), '/'), q.key...)
	return true
}

// appendCanonical appends a header's values as requestHeaders does.
func (q *leanRequest) appendCanonical(b []byte, name string) []byte {
	switch name {
	case "host":
		return appendFolded(b, q.host)
	case "content-length": // no body, told or not
		return append(b, '0')
	}
	found := false
	for i := range q.headers {
		if h := &q.headers[i]; len(h.name) == len(name) && strings.EqualFold(h.name, name) {
			if found {
				b = append(b, ',')
			}
			found = true
			b = appendFolded(b, h.value)
		}
	}
	return b
}

// canonical spells a header's name as net/http does, in buf where it fits. ok is false for what is no name.
func canonical(buf *[maxLeanName]byte, name []byte) (_ []byte, ok bool) {
	upper := true
	for i, c := range name {
		if !isToken[c] {
			return nil, false
		}
		if i < len(buf) {
			switch {
			case upper && 'a' <= c && c <= 'z':
				c -= 'a' - 'A'
			case !upper && 'A' <= c && c <= 'Z':
				c += 'a' - 'A'
			}
			buf[i] = c
		}
		upper = c == '-'
	}
	if len(name) > len(buf) {
		return nil, true // none of the allow-list
	}
	return buf[:len(name)], true
}

// isText reports whether net/http takes the bytes as a header's value: no control bytes but tabs. It looks at eight at a time.
func isText(v []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(v) >= 8; v = v[8:] {
		x := binary.LittleEndian.Uint64(v)
		del := x ^ 0x7f*ones // zero where the byte is 0x7f
		// The top bit of each byte that is less than 0x20, or zero in del; a borrow may raise one too many, which the slow way then sees.
		if ((x-0x20*ones)&^x|(del-ones)&^del)&tops != 0 && !isTextByByte(v[:8]) {
			return false
		}
	}
	return isTextByByte(v)
}

func isTextByByte(v []byte) bool {
	for _, c := range v {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isToken are the bytes of a token (RFC 9110 section 5.6.2), isHost those of names, addresses and ports.
var (
	isToken = byteSet("!#$%&'*+-.^_`|~")
	isHost  = byteSet("-._:[]")
)

// byteSet holds letters, digits and what is given.
func byteSet(more string) (t [256]bool) {
	for c := range t {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(more, byte(c)) >= 0
	}
	return t
}
