package endpoint

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc64NVME is the reflected polynomial of CRC-64/NVME, S3's default checksum since December 2024.
var crc64NVME = crc64.MakeTable(0x9A6C9329AC4BC9B5)

// checksum is one of the algorithms that S3 knows as x-amz-checksum-<name>.
type checksum struct {
	name string // as in the header, lower case
	make func() hash.Hash
}

var checksums = []checksum{
	{"crc32", func() hash.Hash { return crc32.NewIEEE() }},
	{"crc32c", func() hash.Hash { return crc32.New(castagnoli) }},
	{"crc64nvme", func() hash.Hash { return crc64.New(crc64NVME) }},
	{"sha1", sha1.New},
	{"sha256", sha256.New},
}

// trailerSums checks the checksums that a body's trailer announces.
type trailerSums struct{ sums []trailerSum }

type trailerSum struct {
	header string // lower case
	hash   hash.Hash
	got    string // base64, once received
}

// newTrailerSums reads the X-Amz-Trailer headers.
func newTrailerSums(announced []string) (*trailerSums, error) {
	t := &trailerSums{}
	for name := range strings.SplitSeq(strings.Join(announced, ","), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" || t.find(name) != nil {
			continue
		}
		found := false
		for _, c := range checksums {
			if name == "x-amz-checksum-"+c.name {
				t.sums = append(t.sums, trailerSum{header: name, hash: c.make()})
				found = true
			}
		}
		if !found {
			return nil, &apiError{status: http.StatusNotImplemented, code: "NotImplemented",
				message: "The trailing header " + clip(name, 64) + " is not supported here: use a CRC32, CRC32C, CRC64NVME, SHA1 or SHA256 checksum, " +
					"or send to the origin's endpoint.", extra: []string{"Header", "x-amz-trailer"}}
		}
	}
	return t, nil
}

func (t *trailerSums) find(header string) *trailerSum {
	for i := range t.sums {
		if t.sums[i].header == header {
			return &t.sums[i]
		}
	}
	return nil
}

func (t *trailerSums) write(b []byte) {
	for i := range t.sums {
		t.sums[i].hash.Write(b)
	}
}

// receive takes one trailing header.
func (t *trailerSums) receive(name, value string) error {
	s := t.find(name)
	if s == nil || s.got != "" || value == "" {
		return malformedTrailer("the header " + clip(name, 64) + " was not announced in x-amz-trailer, or is empty or given twice")
	}
	s.got = value
	return nil
}

// check compares every announced checksum with the body.
func (t *trailerSums) check() error {
	for i := range t.sums {
		s := &t.sums[i]
		if s.got == "" {
			return malformedTrailer("the announced header " + s.header + " is missing")
		}
		want := base64.StdEncoding.EncodeToString(s.hash.Sum(nil))
		if subtle.ConstantTimeCompare([]byte(want), []byte(s.got)) != 1 {
			return rejected("payload", http.StatusBadRequest, "BadDigest",
				"The "+strings.ToUpper(strings.TrimPrefix(s.header, "x-amz-checksum-"))+" you specified did not match the calculated checksum.")
		}
	}
	return nil
}
