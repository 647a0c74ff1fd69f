package endpoint

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
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

// signedRequest is what a signature covers.
type signedRequest struct {
	headers interface {
		// appendCanonical appends the value of a header as it is signed; name is as the list of signed headers spells it.
		appendCanonical(b []byte, name string) []byte
	}
	method  string
	path    string // decoded
	rawPath string // as it came
	asSent  bool   // sign rawPath instead of the canonical spelling of path
	query   query
	sig     *signature
}

// verify compares signatures in constant time. It allocates nothing if the query has at most one parameter.
func (s *signedRequest) verify(m *mac) bool {
	if s.matches(m) {
		return true
	}
	// Some clients sign the path just as they send it ("/a%2fb", "/a!b"), not as S3 canonicalises it. Both spellings name one
	// key, so nothing is let in by accepting either.
	s.asSent = string(appendEscaped(nil, s.path, true)) != s.rawPath
	return s.asSent && s.matches(m)
}

func (s *signedRequest) matches(m *mac) bool {
	got := s.sign(m)
	return len(s.sig.value) == len(got) && subtle.ConstantTimeCompare(got[:], []byte(s.sig.value)) == 1
}

// sign returns the signature of the request in lower-case hex.
func (s *signedRequest) sign(m *mac) [64]byte {
	b := s.appendCanonical(m.buf[:0])
	sum := sha256.Sum256(b)
	b = append(b[:0], algorithm...)
	b = append(b, '\n')
	b = append(b, s.sig.amzDate...)
	b = append(b, '\n')
	b = append(b, s.sig.scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, sum[:])
	if cap(b) <= 16<<10 {
		m.buf = b
	}
	return m.sign(b)
}

func (s *signedRequest) appendCanonical(b []byte) []byte {
	b = append(b, s.method...)
	b = append(b, '\n')
	if s.asSent {
		b = append(b, s.rawPath...)
	} else {
		b = appendEscaped(b, s.path, true)
	}
	b = append(b, '\n')
	b = appendCanonicalQuery(b, s.query)
	b = append(b, '\n')
	for list := s.sig.signedHeaders; list != ""; {
		var name string
		name, list, _ = strings.Cut(list, ";")
		b = append(b, name...)
		b = append(b, ':')
		b = s.headers.appendCanonical(b, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, s.sig.signedHeaders...)
	b = append(b, '\n')
	return append(b, s.sig.payloadHash...)
}

// appendCanonicalQuery sorts by encoded name, then by encoded value, and leaves out the signature itself.
func appendCanonicalQuery(b []byte, q query) []byte {
	if len(q) == 0 {
		return b
	}
	if len(q) == 1 && q[0].name != "X-Amz-Signature" { // as the SDKs mark their URLs; nothing to sort
		b = appendEscaped(b, q[0].name, false)
		b = append(b, '=')
		return appendEscaped(b, q[0].value, false)
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

// requestHeaders are the headers of a request that net/http has read.
type requestHeaders struct{ r *http.Request }

// appendCanonical appends a header's values, joined by commas, each trimmed and with its runs of spaces folded to one. net/http keeps
// some headers out of the map; they are put back here.
func (h requestHeaders) appendCanonical(b []byte, name string) []byte {
	r := h.r
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
	if strings.IndexByte(v, ' ') < 0 && strings.IndexByte(v, '\t') < 0 {
		return append(b, v...)
	}
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
	"x-amz-api-version": apiVersion, "range": "Range", "accept-encoding": "Accept-Encoding", "user-agent": "User-Agent", "if-match": "If-Match",
}

func canonicalName(lower string) string {
	if name, ok := canonicalNames[lower]; ok {
		return name
	}
	return http.CanonicalHeaderKey(lower)
}

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

// macKey is a signing key with states of its HMAC at hand.
type macKey struct {
	key  [32]byte
	idle sync.Pool // of *mac
}

// mac is an HMAC of one key. One that was used before has the key's two blocks behind it, and costs no allocation.
type mac struct {
	h   hash.Hash
	sum [sha256.Size]byte
	buf []byte // what is signed
}

// newSigningKey derives the key of one day, region and service from the secret.
func newSigningKey(secret, date, region string) *macKey {
	return &macKey{key: signingKey(secret, date, region)}
}

func (k *macKey) take() *mac {
	if m, ok := k.idle.Get().(*mac); ok {
		return m
	}
	return &mac{h: hmac.New(sha256.New, k.key[:]), buf: make([]byte, 0, 2048)}
}

func (k *macKey) giveBack(m *mac) { k.idle.Put(m) }

// sign returns the HMAC-SHA256 of data in lower-case hex.
func (m *mac) sign(data []byte) (out [64]byte) {
	m.h.Write(data)
	m.h.Sum(m.sum[:0])
	m.h.Reset()
	hex.Encode(out[:], m.sum[:])
	return out
}

// chunkSigner checks the chain of signatures over a chunked payload: each covers the one before, the first the request's own.
type chunkSigner struct {
	key      *macKey
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
	m := c.key.take()
	sig := m.sign([]byte(kind + "\n" + c.amzDate + "\n" + c.scope + "\n" + c.previous + "\n" + hashes))
	c.key.giveBack(m)
	c.previous = string(sig[:])
	return c.previous
}

// maxKeys bounds the cache of signing keys: one per access key, day and region in use.
const maxKeys = 1024

type keyID struct{ accessKey, date, region string }

func (id keyID) clone() keyID {
	return keyID{strings.Clone(id.accessKey), strings.Clone(id.date), strings.Clone(id.region)}
}

// keyCache keeps signing keys that have verified a signature, so that nobody without the secret can fill it. The zero value is ready.
type keyCache struct {
	mu   sync.RWMutex
	keys map[keyID]*macKey
}

// get returns nil where there is no such key.
func (c *keyCache) get(id keyID) *macKey {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.keys[id]
}

// put stores a key. A full cache is emptied: it then holds mostly days gone by, and a key costs four HMACs to make again.
func (c *keyCache) put(id keyID, key *macKey) {
	id = id.clone()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = make(map[keyID]*macKey)
	}
	c.keys[id] = key
}
