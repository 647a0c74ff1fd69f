package engines

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"

	"github.com/alio-lake/alio/affinity/ring"
)

// PrestoVirtualNodes is the default of node-scheduler.consistent-hashing-min-virtual-node-count.
const PrestoVirtualNodes = 1000

// Presto is a ring of murmur3 hashes: each node has ceil(virtual / nodes) points, at the hash of its identifier followed by the point's number; a key belongs to the nodes of
// the points that follow its hash. More than half as many nodes as virtual nodes have one point or two each, and are as uneven as that.
type Presto struct {
	members []ring.Member
	virtual int
	at      []int32
	slots   []ring.Slot
}

// NewPresto makes the ring; virtual 0 means Presto's default.
func NewPresto(members []ring.Member, virtual int) *Presto {
	if virtual == 0 {
		virtual = PrestoVirtualNodes
	}
	p := &Presto{members: sorted(members), virtual: virtual}
	if len(members) == 0 {
		return p
	}
	weight := (virtual + len(members) - 1) / len(members)
	points := map[int32]ring.Slot{} // where two hash alike, the later stands
	for i, m := range p.members {
		for n := range weight {
			points[int32(murmur3(strconv.AppendInt([]byte(m.Name), int64(n), 10)))] = ring.Slot(i)
		}
	}
	for at := range points {
		p.at = append(p.at, at)
	}
	slices.Sort(p.at)
	for _, at := range p.at {
		p.slots = append(p.slots, points[at])
	}
	return p
}

// Members are the nodes.
func (p *Presto) Members() []ring.Member { return p.members }

// Locate appends the nodes of the split's section.
func (p *Presto) Locate(dst []ring.Slot, s ring.Split, k int) ([]ring.Slot, error) {
	if err := check(p.members, s, k); err != nil {
		return dst, err
	}
	var room [256]byte
	return p.locate(dst, appendSection(room[:0], s), k), nil
}

func (p *Presto) locate(dst []ring.Slot, key []byte, k int) []ring.Slot {
	begin := len(dst)
	i, _ := slices.BinarySearchFunc(p.at, int32(murmur3(key)), cmp.Compare[int32])
	for n := 0; n < len(p.at) && len(dst)-begin < k; n++ {
		if s := p.slots[(i+n)%len(p.at)]; !slices.Contains(dst[begin:], s) {
			dst = append(dst, s)
		}
	}
	return dst
}

// Change builds the ring of the members after a change.
func (p *Presto) Change(c ring.Change) (ring.Placement, error) {
	return NewPresto(changed(p.members, c), p.virtual), nil
}

// murmur3 is MurmurHash3_x86_32 with seed 0 (Austin Appleby, public domain), as Guava's murmur3_32.
func murmur3(b []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	h, n := uint32(0), len(b)
	for ; len(b) >= 4; b = b[4:] {
		h ^= bits.RotateLeft32(binary.LittleEndian.Uint32(b)*c1, 15) * c2
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	if len(b) > 0 {
		var k uint32
		for i := len(b) - 1; i >= 0; i-- {
			k = k<<8 | uint32(b[i])
		}
		h ^= bits.RotateLeft32(k*c1, 15) * c2
	}
	h ^= uint32(n)
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
