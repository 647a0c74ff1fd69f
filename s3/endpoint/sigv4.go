package endpoint

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// AWS Signature Version 4 for S3, as published in the "Authenticating Requests" chapter of the S3 API reference: the canonical
// request, the string to sign, the signing key, and the chain of signatures over a chunked payload. Computed here rather than by
// re-signing a copy of the request with the SDK's signer: that one drops headers that it would not have signed itself, and costs
// some 60 allocations.

const (
	algorithm       = "AWS4-HMAC-SHA256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	emptySHA256     = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	amzDateLayout   = "20060102T150405Z"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// signedRequest is what a signature covers.
type signedRequest struct {
	r             *http.Request
	path          string // canonical URI
	query         query
	signedHeaders string // as sent: lower case, parted by semicolons
	payloadHash   string
	amzDate       string // 20130524T000000Z
	scope         string // 20130524/us-east-1/s3/aws4_request
}

// sign returns the signature of the request in lower-case hex.
func (s *signedRequest) sign(key *[32]byte) [64]byte {
	bp := buffers.Get().(*[]byte)
	b := s.appendCanonical((*bp)[:0])
	sum := sha256.Sum256(b)
	b = append(b[:0], algorithm...)
	b = append(b, '\n')
	b = append(b, s.amzDate...)
	b = append(b, '\n')
	b = append(b, s.scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, sum[:])
	out := hmacHex(key, b)
	if cap(b) <= 64<<10 {
		*bp = b
		buffers.Put(bp)
	}
	return out
}

func (s *signedRequest) appendCanonical(b []byte) []byte {
	b = append(b, s.r.Method...)
	b = append(b, '\n')
	b = append(b, s.path...)
	b = append(b, '\n')
	b = appendCanonicalQuery(b, s.query)
	b = append(b, '\n')
	for list := s.signedHeaders; list != ""; {
		var name string
		name, list, _ = strings.Cut(list, ";")
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, s.r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, s.signedHeaders...)
	b = append(b, '\n')
	return append(b, s.payloadHash...)
}

// appendCanonicalQuery sorts by encoded name, then by encoded value, and leaves out the signature itself.
func appendCanonicalQuery(b []byte, q query) []byte {
	if len(q) == 0 {
		return b
	}
	enc := make(query, 0, len(q))
	for _, p := range q {
		if p.name != "X-Amz-Signature" {
			enc = append(enc, param{string(appendEscaped(nil, p.name, false)), string(appendEscaped(nil, p.value, false))})
		}
	}
	slices.SortStableFunc(enc, func(x, y param) int {
		if c := strings.Compare(x.name, y.name); c != 0 {
			return c
		}
		return strings.Compare(x.value, y.value)
	})
	for i, p := range enc {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.name...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b
}

// appendHeader appends a header's values, joined by commas, each trimmed and with its runs of spaces folded to one. net/http keeps
// some headers out of the map; they are put back here.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	switch name {
	case "host":
		return appendFolded(b, r.Host)
	case "content-length":
		if r.ContentLength >= 0 {
			return strconv.AppendInt(b, r.ContentLength, 10)
		}
		return b
	case "transfer-encoding":
		return append(b, strings.Join(r.TransferEncoding, ",")...)
	}
	for i, v := range r.Header[canonicalName(name)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFolded(b, v)
	}
	return b
}

// appendFolded trims and folds spaces and tabs.
func appendFolded(b []byte, v string) []byte {
	space := false
	start := len(b)
	for i := 0; i < len(v); i++ {
		if v[i] == ' ' || v[i] == '\t' {
			space = true
			continue
		}
		if space && len(b) > start {
			b = append(b, ' ')
		}
		space = false
		b = append(b, v[i])
	}
	return b
}

// canonicalNames saves the allocation for the headers that SDKs sign on every request.
var canonicalNames = map[string]string{
	"x-amz-date": "X-Amz-Date", "x-amz-content-sha256": "X-Amz-Content-Sha256", "x-amz-security-token": "X-Amz-Security-Token",
	"x-amz-checksum-mode": "X-Amz-Checksum-Mode", "amz-sdk-invocation-id": "Amz-Sdk-Invocation-Id", "amz-sdk-request": "Amz-Sdk-Request",
	"range": "Range", "accept-encoding": "Accept-Encoding", "user-agent": "User-Agent", "if-match": "If-Match",
}

func canonicalName(lower string) string {
	if name, ok := canonicalNames[lower]; ok {
		return name
	}
	return http.CanonicalHeaderKey(lower)
}

// signingKey derives the key of one day, region and service from the secret.
func signingKey(secret, date, region string) [32]byte {
	k := hmacSum([]byte("AWS4"+secret), date)
	k = hmacSum(k[:], region)
	k = hmacSum(k[:], "s3")
	return hmacSum(k[:], "aws4_request")
}

func hmacSum(key []byte, data string) (out [32]byte) {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(data))
	m.Sum(out[:0])
	return out
}

func hmacHex(key *[32]byte, data []byte) (out [64]byte) {
	m := hmac.New(sha256.New, key[:])
	m.Write(data)
	var sum [32]byte
	m.Sum(sum[:0])
	hex.Encode(out[:], sum[:])
	return out
}

// chunkSigner checks the chain of signatures over a chunked payload: each covers the one before, the first the request's own.
type chunkSigner struct {
	key      [32]byte
	amzDate  string
	scope    string
	previous string
}

// chunk returns the signature of the next data chunk, given the SHA-256 of its bytes.
func (c *chunkSigner) chunk(sum []byte) string {
	return c.next("AWS4-HMAC-SHA256-PAYLOAD", emptySHA256+"\n"+hex.EncodeToString(sum))
}

// trailer returns the signature of the trailing headers, given the SHA-256 of their canonical lines.
func (c *chunkSigner) trailer(sum []byte) string {
	return c.next("AWS4-HMAC-SHA256-TRAILER", hex.EncodeToString(sum))
}

func (c *chunkSigner) next(kind, hashes string) string {
	sig := hmacHex(&c.key, []byte(kind+"\n"+c.amzDate+"\n"+c.scope+"\n"+c.previous+"\n"+hashes))
	c.previous = string(sig[:])
	return c.previous
}

// maxKeys bounds the cache of signing keys: one per access key, day and region in use.
const maxKeys = 1024

type keyID struct{ accessKey, date, region string }

// keyCache keeps signing keys that have verified a signature, so that nobody without the secret can fill it. The zero value is ready.
type keyCache struct {
	mu   sync.RWMutex
	keys map[keyID][32]byte
}

func (c *keyCache) get(id keyID) ([32]byte, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.keys[id]
	return k, ok
}

// put stores a key. A full cache is emptied: it then holds mostly days gone by, and a key costs four HMACs to make again.
func (c *keyCache) put(id keyID, key [32]byte) {
	id = keyID{strings.Clone(id.accessKey), strings.Clone(id.date), strings.Clone(id.region)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = make(map[keyID][32]byte)
	}
	c.keys[id] = key
}
