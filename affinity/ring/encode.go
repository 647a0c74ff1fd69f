package ring

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// The bytes of an epoch are drawn in FORMAT.md. An epoch has one encoding: what decodes, encodes to the same bytes.
const (
	magic         = "ALIOring"
	diffMagic     = "ALIOdiff"
	formatVersion = 1
)

// Hash is the SHA-256 that an epoch's encoding ends with. It names the epoch for good, number and all.
type Hash [sha256.Size]byte

// Encode makes the epoch's bytes: compact, versioned, and ending in their Hash. Two epochs are the same if their bytes are.
func (e *Epoch) Encode() []byte {
	b := make([]byte, 0, 64*len(e.members)+e.partitions*e.settings.Owners*e.slotBits()/8+1024)
	b = append(append(b, magic...), formatVersion)
	b = e.appendHeader(b)
	b = binary.AppendUvarint(b, uint64(len(e.members)))
	for _, m := range e.members {
		b = e.appendMember(b, m)
	}
	b = binary.AppendUvarint(b, uint64(e.partitions))
	b = e.appendTable(b)
	b = e.appendOverlay(b)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// Hash is the last 32 bytes of the epoch's encoding. The first call encodes the epoch.
func (e *Epoch) Hash() Hash {
	e.hashed.Do(func() {
		b := e.Encode()
		e.hash = Hash(b[len(b)-sha256.Size:])
	})
	return e.hash
}

// slotBits is how many bits hold a slot, or the number of members, which stands for none.
func (e *Epoch) slotBits() int { return max(1, bits.Len(uint(len(e.members)))) }

func (e *Epoch) appendHeader(b []byte) []byte {
	s := e.settings
	for _, v := range []uint64{e.number, uint64(s.Owners), uint64(s.Bound), uint64(s.StandbyBound), uint64(s.SectionSize), uint64(s.PathVersion), uint64(s.Partitions), uint64(len(s.Zones))} {
		b = binary.AppendUvarint(b, v)
	}
	for _, z := range s.Zones {
		b = appendString(b, z)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

const (
	drainingFlag = 1
	excludedFlag = 2
)

func (e *Epoch) appendMember(b []byte, m Member) []byte {
	b = appendString(b, m.Name)
	zone := 0
	for i, z := range e.settings.Zones {
		if z == m.Zone {
			zone = i
		}
	}
	b = binary.AppendUvarint(b, uint64(zone))
	b = binary.AppendUvarint(b, uint64(m.Weight))
	var flags byte
	if m.Draining {
		flags |= drainingFlag
	}
	if m.Excluded {
		flags |= excludedFlag
	}
	b = appendString(append(b, flags), m.Sidecar)
	return appendString(b, m.Worker)
}

// appendTable packs the table, slotBits an entry, least bits first. There are at least 64 entries and a power of two of partitions, so the bits fill whole bytes.
func (e *Epoch) appendTable(b []byte) []byte {
	width, have := e.slotBits(), 0
	var buffer uint64
	for _, s := range e.home {
		v := uint64(s)
		if s == none {
			v = uint64(len(e.members))
		}
		buffer |= v << have
		for have += width; have >= 8; have -= 8 {
			b = append(b, byte(buffer))
			buffer >>= 8
		}
	}
	return b
}

// appendOverlay appends stand-ins and hot sections.
func (e *Epoch) appendOverlay(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(e.standins)))
	last := -1
	for _, s := range e.standins {
		b = binary.AppendUvarint(b, uint64(s.partition-last-1))
		b = binary.AppendUvarint(b, uint64(s.slot))
		last = s.partition
	}
	b = binary.AppendUvarint(b, uint64(len(e.hot)))
	for _, h := range e.hot {
		b = binary.LittleEndian.AppendUint64(b, h.key)
		b = binary.AppendUvarint(b, uint64(h.count))
		b = binary.AppendUvarint(b, uint64(len(h.extras)))
		for _, s := range h.extras {
			b = binary.AppendUvarint(b, uint64(s))
		}
	}
	return b
}
