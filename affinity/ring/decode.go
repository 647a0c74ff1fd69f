package ring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// reader takes an encoding apart. Its first fault stays; after it, every read gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("ring: %w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

// number reads a varint of at most limit. A longer form than need be is a fault: an epoch has one encoding.
func (r *reader) number(what string, limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n <= 0:
		r.fail("%s: the bytes end, or the number is too long", what)
	case n > 1 && r.b[n-1] == 0:
		r.fail("%s: the number is longer than it need be", what)
	case v > limit:
		r.fail("%s is %d, and %d is the limit", what, v, limit)
	default:
		r.b = r.b[n:]
		return v
	}
	return 0
}

func (r *reader) take(what string, n int) []byte {
	if n > len(r.b) {
		r.fail("%s: the bytes end", what)
		return make([]byte, min(n, 64))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) text(what string) string {
	n := r.number(what, MaxName)
	if r.err != nil {
		return ""
	}
	return string(r.take(what, int(n)))
}

// Decode reads what Encode made. It checks all of it: the hash, the form, that names are distinct and known, that owners of a partition are, and that the bound holds.
// The error wraps ErrCorrupt.
func Decode(b []byte) (*Epoch, error) {
	r := &reader{b: b}
	if version := r.open(magic, "an epoch"); r.err == nil && version != formatVersion {
		r.fail("an epoch of format %d: this build knows %d", version, formatVersion)
	}
	if n := len(b) - sha256.Size; r.err == nil {
		if sum := sha256.Sum256(b[:max(0, n)]); n < 0 || !bytes.Equal(sum[:], b[n:]) {
			r.fail("an epoch's hash does not match its bytes")
		} else {
			r.b = r.b[:len(r.b)-sha256.Size]
		}
	}
	e := &Epoch{}
	r.header(e)
	for range r.number("the number of members", MaxMembers) {
		if r.err != nil {
			break
		}
		e.members = append(e.members, r.member(e))
	}
	e.partitions = r.partitions(e)
	r.table(e)
	r.overlay(e)
	if len(r.b) > 0 {
		r.fail("%d bytes are left over", len(r.b))
	}
	return r.finish(e)
}

// open reads magic and version.
func (r *reader) open(magic, what string) byte {
	if len(r.b) < len(magic)+1+sha256.Size || string(r.b[:len(magic)]) != magic {
		r.fail("the bytes are not those of %s", what)
		return 0
	}
	version := r.b[len(magic)]
	r.b = r.b[len(magic)+1:]
	return version
}

// finish checks what was read as a whole.
func (r *reader) finish(e *Epoch) (*Epoch, error) {
	if r.err == nil {
		if err := e.check(); err != nil {
			r.fail("%v", err)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	e.derive()
	return e, nil
}

func (r *reader) header(e *Epoch) {
	e.number = r.number("the epoch's number", 1<<63)
	s := &e.settings
	s.Owners = int(r.number("owners", MaxOwners))
	s.Bound = int(r.number("bound", 1000))
	s.StandbyBound = int(r.number("standby bound", 1000))
	s.SectionSize = int64(r.number("section size", 1<<62))
	s.PathVersion = int(r.number("path version", PathVersion))
	s.Partitions = int(r.number("least number of partitions", MaxPartitions))
	for range r.number("the number of zones", MaxZones) {
		z := r.text("zone")
		if n := len(s.Zones); n > 0 && s.Zones[n-1] >= z {
			r.fail("zones are not in order")
		}
		s.Zones = append(s.Zones, z)
	}
	if r.err == nil && (s.Owners == 0 || s.Bound == 0 || s.StandbyBound == 0 || s.SectionSize == 0 || s.PathVersion == 0 || s.Partitions == 0) {
		r.fail("a setting is missing")
	}
	if err := s.Validate(); r.err == nil && err != nil {
		r.fail("%v", err)
	}
}

func (r *reader) member(e *Epoch) Member {
	m := Member{Name: r.text("member")}
	if zone := int(r.number("zone of "+m.Name, uint64(max(1, len(e.settings.Zones))-1))); zone < len(e.settings.Zones) {
		m.Zone = e.settings.Zones[zone]
	}
	m.Weight = int(r.number("weight of "+m.Name, MaxWeight))
	flags := r.take("flags of "+m.Name, 1)[0]
	if flags > drainingFlag|excludedFlag {
		r.fail("member %q has flags %#x", m.Name, flags)
	}
	m.Draining, m.Excluded = flags&drainingFlag != 0, flags&excludedFlag != 0
	m.Sidecar, m.Worker = r.text("address of "+m.Name), r.text("address of "+m.Name)
	return m
}

func (r *reader) partitions(e *Epoch) int {
	n := int(r.number("the number of partitions", MaxPartitions))
	if r.err == nil && (n < e.settings.Partitions || n < PerMember*len(e.members) || n&(n-1) != 0) {
		r.fail("%d partitions for %d members: it must be a power of two, at least %d and %d a member", n, len(e.members), e.settings.Partitions, PerMember)
	}
	return n
}

func (r *reader) table(e *Epoch) {
	if r.err != nil {
		return
	}
	width, entries := e.slotBits(), e.partitions*e.settings.Owners
	packed := r.take("the table", entries*width/8) // a power of two from 64 of partitions: whole bytes
	if r.err != nil {
		return
	}
	e.home = make([]Slot, entries)
	var buffer uint64
	have := 0
	for i := range e.home {
		for ; have < width; have += 8 {
			buffer |= uint64(packed[0]) << have
			packed = packed[1:]
		}
		v := int(buffer & (1<<width - 1))
		buffer >>= width
		have -= width
		switch {
		case v > len(e.members):
			r.fail("the table has a slot %d of %d", v, len(e.members))
			return
		case v == len(e.members):
			e.home[i] = none
		default:
			e.home[i] = Slot(v)
		}
	}
}

func (r *reader) slot(e *Epoch) Slot {
	v := r.number("a slot", 1<<16)
	if r.err == nil && v >= uint64(len(e.members)) {
		r.fail("slot %d of %d", v, len(e.members))
	}
	return Slot(v)
}

func (r *reader) overlay(e *Epoch) {
	last := -1
	for range r.number("the number of stand-ins", MaxPartitions) {
		p := last + 1 + int(r.number("a stand-in's partition", MaxPartitions))
		if p >= e.partitions {
			r.fail("a stand-in for partition %d of %d", p, e.partitions)
		}
		e.standins = append(e.standins, standin{p, r.slot(e)})
		if last = p; r.err != nil {
			return
		}
	}
	for range r.number("the number of hot sections", MaxHot) {
		h := hotKey{key: binary.LittleEndian.Uint64(r.take("a hot section", 8)), count: int(r.number("owners of a hot section", MaxHotOwners))}
		for range r.number("extra owners of a hot section", MaxHotOwners) {
			h.extras = append(h.extras, r.slot(e))
		}
		if n := len(e.hot); n > 0 && e.hot[n-1].key >= h.key {
			r.fail("hot sections are not in order")
		}
		if e.hot = append(e.hot, h); r.err != nil {
			return
		}
	}
}
