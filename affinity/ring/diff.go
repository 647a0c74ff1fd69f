package ring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// Diff makes what leads from one epoch to another: for who holds the first, the second in a few bytes. FORMAT.md draws it.
func Diff(from, to *Epoch) []byte {
	b := append([]byte(diffMagic), formatVersion)
	hash := from.Hash()
	b = append(b, hash[:]...)
	b = to.appendHeader(b)
	mapped := from.mapped(to.members)
	b = appendGaps(b, len(mapped), func(i int) bool { return mapped[i] == none })
	put := make([]bool, len(to.members))
	for i := range put {
		put[i] = true
	}
	for i, s := range mapped {
		if s != none && from.members[i] == to.members[s] {
			put[s] = false
		}
	}
	n := 0
	for _, p := range put {
		if p {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	for i, m := range to.members {
		if put[i] {
			b = to.appendMember(b, m)
		}
	}
	b = binary.AppendUvarint(b, uint64(to.partitions))
	b = to.appendEdits(b, from.carried(to, mapped))
	b = to.appendOverlay(b)
	hash = to.Hash()
	return append(b, hash[:]...)
}

// appendGaps appends how many of n numbers are chosen, and each as the gap after the one before.
func appendGaps(b []byte, n int, chosen func(i int) bool) []byte {
	var gaps []byte
	last, count := -1, 0
	for i := range n {
		if chosen(i) {
			gaps = binary.AppendUvarint(gaps, uint64(i-last-1))
			last = i
			count++
		}
	}
	return append(binary.AppendUvarint(b, uint64(count)), gaps...)
}

// appendEdits appends the entries of the table that differ from what the epoch before gives.
func (e *Epoch) appendEdits(b []byte, carried []Slot) []byte {
	var edits []byte
	last, count := -1, 0
	for i, s := range e.home {
		if s == carried[i] {
			continue
		}
		v := uint64(s)
		if s == none {
			v = uint64(len(e.members))
		}
		edits = binary.AppendUvarint(binary.AppendUvarint(edits, uint64(i-last-1)), v)
		last = i
		count++
	}
	return append(binary.AppendUvarint(b, uint64(count)), edits...)
}

// Patch makes the epoch to which a difference leads. The result is checked as Decode checks, and is the very epoch that Diff was given: the hash says so. The error wraps
// ErrCorrupt; a difference from another epoch than this is one.
func (e *Epoch) Patch(diff []byte) (*Epoch, error) {
	r := &reader{b: diff}
	if version := r.open(diffMagic, "a difference between epochs"); r.err == nil && version != formatVersion {
		r.fail("a difference of format %d: this build knows %d", version, formatVersion)
	}
	from := r.take("the hash", sha256.Size)
	if hash := e.Hash(); r.err == nil && !bytes.Equal(hash[:], from) {
		r.fail("the difference is not from epoch %d with hash %x", e.number, hash[:8])
	}
	if len(r.b) < sha256.Size {
		r.fail("a difference: the bytes end")
		return nil, r.err
	}
	want := r.b[len(r.b)-sha256.Size:]
	r.b = r.b[:len(r.b)-sha256.Size]
	next := &Epoch{}
	r.header(next)
	r.patchMembers(e, next)
	next.partitions = r.partitions(next)
	if r.err == nil && next.partitions < e.partitions {
		r.fail("the table shrinks from %d to %d partitions", e.partitions, next.partitions)
	}
	r.edits(e, next)
	r.overlay(next)
	if len(r.b) > 0 {
		r.fail("%d bytes are left over", len(r.b))
	}
	next, err := r.finish(next)
	if err != nil {
		return nil, err
	}
	if hash := next.Hash(); !bytes.Equal(hash[:], want) {
		return nil, fmt.Errorf("ring: %w: the difference leads to an epoch %d with another hash than it says", ErrCorrupt, next.number)
	}
	return next, nil
}

// patchMembers takes out those who left, and puts in those who are new or changed.
func (r *reader) patchMembers(from, next *Epoch) {
	gone := make([]bool, len(from.members))
	last := -1
	for range r.number("the number of members that left", MaxMembers) {
		last += 1 + int(r.number("a member that left", MaxMembers))
		if last >= len(gone) {
			r.fail("slot %d of %d left", last, len(gone))
			return
		}
		gone[last] = true
	}
	kept := from.members
	var put []Member
	for range r.number("the number of members put", MaxMembers) {
		if put = append(put, r.member(next)); r.err != nil {
			return
		}
	}
	for i, j := 0, 0; i < len(kept) || j < len(put); {
		switch {
		case i < len(kept) && gone[i]:
			i++
		case j == len(put) || i < len(kept) && kept[i].Name < put[j].Name:
			next.members = append(next.members, kept[i])
			i++
		default:
			if i < len(kept) && kept[i].Name == put[j].Name {
				i++
			}
			next.members = append(next.members, put[j])
			j++
		}
	}
	if len(next.members) > MaxMembers || !slices.IsSortedFunc(next.members, func(a, b Member) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) }) {
		r.fail("members are too many, or not in order")
	}
}

func (r *reader) edits(from, next *Epoch) {
	if r.err != nil {
		return
	}
	next.home = from.carried(next, from.mapped(next.members))
	last := -1
	for range r.number("the number of edits", uint64(len(next.home))) {
		last += 1 + int(r.number("an edit's place", uint64(len(next.home))))
		if last >= len(next.home) {
			r.fail("an edit at %d of %d", last, len(next.home))
			return
		}
		next.home[last] = none
		if v := r.number("an edit's slot", uint64(len(next.members))); v < uint64(len(next.members)) {
			next.home[last] = Slot(v)
		}
		if r.err != nil {
			return
		}
	}
}
