package ring

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// Split is a piece of a file that a coordinator wants placed.
type Split struct {
	Mount  string // the file's mount
	Path   string // within the mount
	Offset int64  // where the split begins in the file
}

// Key is the hash by which the split's section is placed: XXH64 of mount, 0, canonical path, 0, section (8 bytes, little-endian), where section is Offset divided
// by the section size. Version 1 makes a path canonical by leaving out empty elements: "/a//b/" is "a/b". Nothing else is changed, no escape is undone: two
// spellings of one file that an engine mixes would be two keys, while two files under one key only share their owners. A path with an element "." or "..", a zero
// byte, or no element at all is malformed.
func (e *Epoch) Key(s Split) (uint64, error) {
	var room [512]byte
	b, err := appendPath(append(appendMount(room[:0], s.Mount), 0), s.Path)
	switch {
	case err != nil:
		return 0, err
	case s.Mount == "" || len(s.Mount) > MaxName || strings.ContainsAny(s.Mount, "/\x00") || !utf8.ValidString(s.Mount):
		return 0, invalid("mount %.64q: a mount's name is 1 to %d bytes of UTF-8 without a slash or a zero byte", s.Mount, MaxName)
	case s.Offset < 0:
		return 0, invalid("offset %d of %.64q: offsets begin at 0", s.Offset, s.Path)
	}
	b = binary.LittleEndian.AppendUint64(append(b, 0), uint64(s.Offset/e.settings.SectionSize))
	return xxhash.Sum64(b), nil
}

func appendMount(b []byte, mount string) []byte {
	return append(b, mount[:min(len(mount), MaxName)]...)
}

// appendPath appends the canonical path.
func appendPath(b []byte, path string) ([]byte, error) {
	if len(path) > MaxPath {
		return b, invalid("path %.64q…: it has %d bytes, and %d is the limit", path, len(path), MaxPath)
	}
	if !utf8.ValidString(path) || strings.IndexByte(path, 0) >= 0 {
		return b, invalid("path %.64q: a path is UTF-8 without a zero byte", path)
	}
	begin := len(b)
	for rest := path; rest != ""; {
		element := rest
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			element, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		switch element {
		case "":
			continue
		case ".", "..":
			return b, invalid("path %.64q: it has an element %q: give the path of the file itself", path, element)
		}
		if len(b) > begin {
			b = append(b, '/')
		}
		b = append(b, element...)
	}
	if len(b) == begin {
		return b, invalid("path %.64q: it names no file", path)
	}
	return b, nil
}

// mix spreads the bits of a number: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// golden is 2^64 divided by the golden ratio: SplitMix64's step.
const golden = 0x9e3779b97f4a7c15

// scale maps a hash evenly to 0 ≤ x < n, by its upper half. Doubling n maps what was x to 2x or 2x+1: this is how the table grows without moving a key.
func scale(hash uint64, n int) int { return int((hash >> 32) * uint64(n) >> 32) }
