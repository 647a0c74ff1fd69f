package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// An entry is the value under a path: a kind, and for an object
//
//	life, moment   when the answer was sent for, see life
//	flags          what follows and what does not
//	size           in bytes
//	modified       seconds since 1970, and nanoseconds where there are any
//	etag, version  phrases
//	parts          their number, and of each the length and the id, a phrase; of an object of one part its id only
//	attributes     their number, and of each the name (an index of names, or a phrase) and the value, a phrase
//
// Numbers are varints. A change of any of this changes formatName.
const (
	kindFence  = 0 // nothing is known, whatever an older generation has
	kindObject = 1
)

// The flags of an entry.
const (
	flagAttributes = 1 << iota // they are known, though there may be none
	flagModified               // there is a time of modification
	flagNanos                  // it has a fraction
	flagOnePart                // one part, as long as the object
)

// names are the attributes that are written as one byte. New ones go to the end.
var names = []string{
	"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control", "Expires", "X-Amz-Server-Side-Encryption",
	"X-Amz-Storage-Class", "X-Amz-Version-Id", "Accept-Ranges", "Last-Modified", "Content-Length", "X-Amz-Checksum-Crc32",
	"X-Amz-Checksum-Crc64nvme", "X-Amz-Checksum-Type", "X-Amz-Checksum-Sha256",
}

// life is one process' time. An answer's time is written as the life and the milliseconds since its start, by its monotonic clock: no clock compares
// lives. Life 0 is one that nothing is known of.
type life struct {
	number uint64
	start  time.Time
}

// stamp writes a time, rounded down: an answer is never made younger than it is.
func (l life) stamp(b []byte, sent time.Time) []byte {
	since := sent.Sub(l.start)
	if sent.IsZero() || since < 0 {
		return append(b, 0, 0)
	}
	return binary.AppendUvarint(binary.AppendUvarint(b, l.number), uint64(since/time.Millisecond))
}

// read is the inverse of stamp: the zero time for one of another life.
func (l life) read(number, moment uint64) time.Time {
	if number != l.number || number == 0 || moment > uint64(time.Since(l.start)/time.Millisecond) {
		return time.Time{}
	}
	return l.start.Add(time.Duration(moment) * time.Millisecond)
}

// appendEntry writes what an answer tells of the object at its path.
func appendEntry(b []byte, l life, a *freshness.Answer[origin.Object]) []byte {
	o := &a.Value
	b = l.stamp(append(b, kindObject), a.Sent)
	flags := byte(0)
	if o.Attributes != nil {
		flags |= flagAttributes
	}
	if !o.ModTime.IsZero() {
		flags |= flagModified
	}
	if o.ModTime.Nanosecond() != 0 {
		flags |= flagNanos
	}
	if len(o.Parts) == 1 && o.Parts[0] == (origin.Part{ID: o.Parts[0].ID, Length: o.Size}) {
		flags |= flagOnePart
	}
	b = binary.AppendVarint(append(b, flags), o.Size)
	if flags&flagModified != 0 {
		b = binary.AppendVarint(b, o.ModTime.Unix())
	}
	if flags&flagNanos != 0 {
		b = binary.AppendUvarint(b, uint64(o.ModTime.Nanosecond()))
	}
	b = appendPhrase(b, o.ETag, nil)
	known := knownOf(o)
	b = appendPhrase(b, string(o.Version), known[:len(known)-2])
	if flags&flagOnePart != 0 {
		b = appendPhrase(b, o.Parts[0].ID, known)
	} else {
		b = appendParts(b, o.Parts, known)
	}
	if flags&flagAttributes != 0 {
		b = appendAttributes(b, o.Attributes, known)
	}
	return b
}

// knownOf are the strings that an object's other strings are made of, the longest first as a rule; the last two are of the version.
func knownOf(o *origin.Object) []string {
	inner := func(s string) string {
		q := strconv.Quote(s)
		return q[1 : len(q)-1]
	}
	return []string{o.Path, inner(o.Path), o.ETag, inner(o.ETag), strconv.FormatInt(o.Size, 10), string(o.Version), inner(string(o.Version))}
}

func appendParts(b []byte, parts []origin.Part, known []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for _, p := range parts {
		b = appendPhrase(binary.AppendVarint(b, p.Length), p.ID, known)
	}
	return b
}

func appendAttributes(b []byte, attributes map[string]string, known []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(attributes)))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if i := slices.Index(names, name); i >= 0 {
			b = append(b, byte(i+1))
		} else {
			b = appendPhrase(append(b, 0), name, nil)
		}
		b = appendPhrase(b, attributes[name], known)
	}
	return b
}

// errParts says that an object cannot be written: its parts do not follow each other, as they must.
var errParts = errors.New("the parts do not cover the object one after the other")

// writable tells whether readEntry would give back what appendEntry is to write.
func writable(path string, a *freshness.Answer[origin.Object]) error {
	o := &a.Value
	if o.Path != path || a.Err != nil {
		return fmt.Errorf("an answer about %q under %q (%v)", o.Path, path, a.Err)
	}
	end := int64(0)
	for _, p := range o.Parts {
		if p.Offset != end || p.Length < 0 {
			return errParts
		}
		end += p.Length
	}
	if len(o.Parts) > 0 && end != o.Size {
		return errParts
	}
	return nil
}

// readEntry is the inverse of appendEntry. Not ok: a fence stands there.
func readEntry(b []byte, l life, path string) (a freshness.Answer[origin.Object], ok bool, err error) {
	r := &reader{b: b}
	switch kind := r.byte(); {
	case r.err == nil && kind == kindFence:
		return a, false, nil
	case kind != kindObject:
		return a, false, fmt.Errorf("entry of kind %d of %d bytes", kind, len(b))
	}
	number, moment := r.uvarint(), r.uvarint()
	a.Sent = l.read(number, moment)
	o := &a.Value
	o.Path = path
	flags := r.byte()
	o.Size = r.varint()
	if flags&flagModified != 0 {
		seconds, nanos := r.varint(), uint64(0)
		if flags&flagNanos != 0 {
			nanos = r.uvarint()
		}
		o.ModTime = time.Unix(seconds, int64(nanos)).UTC()
	}
	o.ETag = r.phrase(nil)
	known := knownOf(o)
	o.Version = origin.Version(r.phrase(known[:len(known)-2]))
	known = knownOf(o)
	if flags&flagOnePart != 0 {
		o.Parts = []origin.Part{{ID: r.phrase(known), Length: o.Size}}
	} else {
		o.Parts = r.parts(known)
	}
	if flags&flagAttributes != 0 {
		o.Attributes = r.attributes(known)
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	return a, r.err == nil, r.err
}

func (r *reader) parts(known []string) (parts []origin.Part) {
	off := int64(0)
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		p := origin.Part{Offset: off, Length: r.varint()}
		p.ID = r.phrase(known)
		if r.err == nil {
			parts = append(parts, p)
			off += p.Length
		}
	}
	return parts
}

func (r *reader) attributes(known []string) map[string]string {
	all := map[string]string{}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		var name string
		switch i := int(r.byte()); {
		case i == 0:
			name = r.phrase(nil)
		case i <= len(names):
			name = names[i-1]
		default:
			r.fail()
		}
		all[name] = r.phrase(known)
	}
	return all
}
