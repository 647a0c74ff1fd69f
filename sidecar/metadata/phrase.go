package metadata

import (
	"encoding/binary"
	"errors"
	"strings"
)

// A phrase is a string that is written with the help of others which the reader knows already: version and part ids of S3 objects are made of
// path, ETag and size. It is a sequence of tokens up to phraseEnd. Reading gives back the very bytes that were written: what is not found in
// the others is written as it is.
const (
	phraseEnd    = 0  // of the phrase
	phraseHex    = 1  // a count of bytes and the bytes, which are written in lower-case hexadecimal
	phraseBytes  = 2  // a count of bytes and the bytes
	phraseKnown  = 3  // and above: one of the known strings, by its index
	phraseShort  = 16 // and above: so many bytes less phraseShort follow, plus one
	minimumHex   = 8  // digits: shorter runs gain nothing
	maximumKnown = phraseShort - phraseKnown
)

var errPhrase = errors.New("a string is cut short or refers to what is not there")

// appendPhrase writes s. At most maximumKnown strings are known; empty ones, and those that s does not hold, cost nothing.
func appendPhrase(b []byte, s string, known []string) []byte {
	return append(appendKnown(b, s, known, 0), phraseEnd)
}

// appendKnown cuts s at the first of the known strings that it holds, from index i on, and writes what is left of it, it, and what is right of it.
func appendKnown(b []byte, s string, known []string, i int) []byte {
	for ; i < len(known) && s != ""; i++ {
		if known[i] == "" {
			continue
		}
		if before, after, ok := strings.Cut(s, known[i]); ok {
			b = appendKnown(b, before, known, i+1)
			b = append(b, byte(phraseKnown+i))
			return appendKnown(b, after, known, i)
		}
	}
	return appendPlain(b, s)
}

// appendPlain writes s with its runs of hexadecimal digits packed.
func appendPlain(b []byte, s string) []byte {
	plain := 0 // where what is not yet written begins
	for i := 0; i < len(s); {
		n := hexRun(s[i:])
		if n < minimumHex {
			i += max(n, 1)
			continue
		}
		b = appendLiteral(b, s[plain:i])
		b = binary.AppendUvarint(append(b, phraseHex), uint64(n/2))
		for ; n > 0; n -= 2 {
			b = append(b, nibble(s[i])<<4|nibble(s[i+1]))
			i += 2
		}
		plain = i
	}
	return appendLiteral(b, s[plain:])
}

func appendLiteral(b []byte, s string) []byte {
	switch {
	case s == "":
		return b
	case len(s) <= 256-phraseShort:
		b = append(b, byte(phraseShort+len(s)-1))
	default:
		b = binary.AppendUvarint(append(b, phraseBytes), uint64(len(s)))
	}
	return append(b, s...)
}

// hexRun is how many lower-case hexadecimal digits s begins with, an even number.
func hexRun(s string) int {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] >= 'a' && s[n] <= 'f') {
		n++
	}
	return n &^ 1
}

func nibble(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

// reader takes an entry apart. The first fault stays, and everything after it is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errPhrase
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// phrase reads what appendPhrase wrote with the same known strings.
func (r *reader) phrase(known []string) string {
	const digits = "0123456789abcdef"
	var out []byte
	for {
		switch token := r.byte(); {
		case r.err != nil, token == phraseEnd:
			return string(out)
		case token == phraseHex:
			for _, c := range r.take(r.uvarint()) {
				out = append(out, digits[c>>4], digits[c&15])
			}
		case token == phraseBytes:
			out = append(out, r.take(r.uvarint())...)
		case token >= phraseShort:
			out = append(out, r.take(uint64(token)-phraseShort+1)...)
		case int(token)-phraseKnown < len(known):
			out = append(out, known[token-phraseKnown]...)
		default:
			r.fail()
		}
	}
}
