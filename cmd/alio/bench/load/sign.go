package load

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"
)

// emptySHA256 is the payload hash that S3 clients send with a GET.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const (
	signedHeaders = "host;range;x-amz-content-sha256;x-amz-date"
	region        = "us-east-1"
)

// signer makes signed GETs (AWS Signature Version 4, headers as botocore sends them) and allocates nothing after the first. It belongs to one
// goroutine.
type signer struct {
	access, secret, host string

	second int64  // that date is of
	date   []byte // 20060102T150405Z
	day    string // that key is for
	sha    hash.Hash
	mac    hash.Hash // keyed with the day's signing key
	text   []byte    // what is hashed
	sum    [sha256.Size]byte
	hex    [2 * sha256.Size]byte
}

func newSigner(access, secret, host string) *signer {
	return &signer{access: access, secret: secret, host: host, sha: sha256.New(), text: make([]byte, 0, 1024), date: make([]byte, 0, 32)}
}

// appendRequest appends a GET of path with a range ("bytes=0-4095"), signed for the time now.
func (s *signer) appendRequest(b []byte, path, byteRange []byte, now time.Time) []byte {
	s.setTime(now)
	b = append(b, "GET "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, s.host...)
	b = append(b, "\r\nRange: "...)
	b = append(b, byteRange...)
	b = append(b, "\r\nx-amz-content-sha256: "+emptySHA256+"\r\nx-amz-date: "...)
	b = append(b, s.date...)
	b = append(b, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential="...)
	b = append(b, s.access...)
	b = append(b, '/')
	b = append(b, s.day...)
	b = append(b, "/"+region+"/s3/aws4_request, SignedHeaders="+signedHeaders+", Signature="...)
	b = append(b, s.signature(path, byteRange)...)
	return append(b, "\r\n\r\n"...)
}

func (s *signer) setTime(now time.Time) {
	if now.Unix() == s.second {
		return
	}
	s.second = now.Unix()
	s.date = now.UTC().AppendFormat(s.date[:0], "20060102T150405Z")
	if day := s.date[:8]; string(day) != s.day {
		s.day = string(day)
		key := hmacOf([]byte("AWS4"+s.secret), s.day)
		for _, part := range []string{region, "s3", "aws4_request"} {
			key = hmacOf(key, part)
		}
		s.mac = hmac.New(sha256.New, key)
	}
}

func (s *signer) signature(path, byteRange []byte) []byte {
	t := append(s.text[:0], "GET\n"...)
	t = append(t, path...)
	t = append(t, "\n\nhost:"...)
	t = append(t, s.host...)
	t = append(t, "\nrange:"...)
	t = append(t, byteRange...)
	t = append(t, "\nx-amz-content-sha256:"+emptySHA256+"\nx-amz-date:"...)
	t = append(t, s.date...)
	t = append(t, "\n\n"+signedHeaders+"\n"+emptySHA256...)
	s.sha.Reset()
	s.sha.Write(t)
	hex.Encode(s.hex[:], s.sha.Sum(s.sum[:0]))

	t = append(t[:0], "AWS4-HMAC-SHA256\n"...)
	t = append(t, s.date...)
	t = append(t, '\n')
	t = append(t, s.day...)
	t = append(t, "/"+region+"/s3/aws4_request\n"...)
	t = append(t, s.hex[:]...)
	s.mac.Reset()
	s.mac.Write(t)
	hex.Encode(s.hex[:], s.mac.Sum(s.sum[:0]))
	s.text = t
	return s.hex[:]
}

func hmacOf(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
