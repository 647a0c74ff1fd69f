package engines

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/alio-lake/alio/affinity/ring"
)

// TrinoBuckets is the size of Trino's table, whatever the number of nodes.
const TrinoBuckets = 2048

// TrinoTable is rendezvous hashing over a table of 2,048 buckets: a bucket belongs to the nodes with the highest hash of node and bucket.
type TrinoTable struct {
	members []ring.Member
	keep    int
	buckets []ring.Slot // keep for each bucket
}

// NewTrinoTable makes the table, with so many owners for a bucket (node-scheduler.cache-preferred-hosts-count, default 2).
func NewTrinoTable(members []ring.Member, keep int) *TrinoTable {
	t := &TrinoTable{members: sorted(members), keep: min(keep, len(members))}
	hashes := make([]uint64, len(members))
	for i, m := range t.members {
		hashes[i] = xxhash.Sum64String(m.Name)
	}
	top := make([]int64, t.keep) // the highest hashes so far, falling; of equals the node that was first stays first
	for bucket := range uint64(TrinoBuckets) {
		bucketHash, begin, n := hashLong(0, bucket), len(t.buckets), 0
		t.buckets = append(t.buckets, make([]ring.Slot, t.keep)...)
		for i, h := range hashes {
			w := int64(hashLong(h, bucketHash))
			if n == t.keep && (n == 0 || w <= top[n-1]) {
				continue
			}
			n = min(n+1, t.keep)
			at := n - 1
			for ; at > 0 && top[at-1] < w; at-- {
				top[at], t.buckets[begin+at] = top[at-1], t.buckets[begin+at-1]
			}
			top[at], t.buckets[begin+at] = w, ring.Slot(i)
		}
	}
	return t
}

// hashLong is XXH64 of a number's 8 bytes with a seed.
func hashLong(seed, v uint64) uint64 {
	var b [8]byte
	var d xxhash.Digest
	binary.LittleEndian.PutUint64(b[:], v)
	d.ResetWithSeed(seed)
	_, _ = d.Write(b[:])
	return d.Sum64()
}

// Members are the nodes.
func (t *TrinoTable) Members() []ring.Member { return t.members }

// Locate appends the nodes of the split's key.
func (t *TrinoTable) Locate(dst []ring.Slot, s ring.Split, k int) ([]ring.Slot, error) {
	if err := check(t.members[:t.keep], s, k); err != nil {
		return dst, err
	}
	var room [256]byte
	return append(dst, t.locate(appendRange(room[:0], s))[:k]...), nil
}

func (t *TrinoTable) locate(key []byte) []ring.Slot {
	bucket := int64(xxhash.Sum64(key)) % TrinoBuckets
	if bucket < 0 {
		bucket += TrinoBuckets
	}
	return t.buckets[int(bucket)*t.keep:][:t.keep]
}

// Change builds the table of the members after a change.
func (t *TrinoTable) Change(c ring.Change) (ring.Placement, error) {
	return NewTrinoTable(changed(t.members, c), t.keep), nil
}

// TrinoKeys is another form of the class, seen in a fork: rendezvous hashing for each key, over all nodes at every look-up. The best evenness that hashing alone can have.
type TrinoKeys struct {
	members []ring.Member
	hashes  []uint64
}

// NewTrinoKeys hashes the nodes.
func NewTrinoKeys(members []ring.Member) *TrinoKeys {
	t := &TrinoKeys{members: sorted(members)}
	for _, m := range t.members {
		t.hashes = append(t.hashes, xxhash.Sum64String(m.Name))
	}
	return t
}

// Members are the nodes.
func (t *TrinoKeys) Members() []ring.Member { return t.members }

// Locate appends the nodes of the split's key.
func (t *TrinoKeys) Locate(dst []ring.Slot, s ring.Split, k int) ([]ring.Slot, error) {
	if err := check(t.members, s, k); err != nil {
		return dst, err
	}
	var room [256]byte
	return t.locate(dst, appendRange(room[:0], s), k), nil
}

func (t *TrinoKeys) locate(dst []ring.Slot, key []byte, k int) []ring.Slot {
	hash, begin := xxhash.Sum64(key), len(dst)
	var weights [16]int64
	for i, h := range t.hashes {
		w, n := int64(fmix64(h^hash)), len(dst)-begin
		if n == min(k, len(weights)) {
			if w <= weights[n-1] {
				continue
			}
			dst, n = dst[:len(dst)-1], n-1
		}
		for dst = append(dst, 0); n > 0 && weights[n-1] < w; n-- {
			weights[n], dst[begin+n] = weights[n-1], dst[begin+n-1]
		}
		weights[n], dst[begin+n] = w, ring.Slot(i)
	}
	return dst
}

// fmix64 is the finalizer of MurmurHash3 x64.
func fmix64(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Change hashes the members after a change.
func (t *TrinoKeys) Change(c ring.Change) (ring.Placement, error) {
	return NewTrinoKeys(changed(t.members, c)), nil
}
