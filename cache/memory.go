package cache

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/alio-lake/alio/cache/policy"
	"github.com/alio-lake/alio/internal/hugepages"
)

// memory is the memory tier: S3-FIFO in shards, each with its own slice of the limit. A hit takes no lock and, on a page that is asked for often,
// writes nothing: it finds the page in its shard's index and raises the page's own count of hits, which stops at three. The policy, which is for
// one goroutine at a time, asks for that count when it decides about the page; it works under the shard's lock, which only those that bring
// or remove pages take. Pages are plain slices of the Go heap: a page that is evicted while somebody reads it lives until that reader lets go.
//
// Pages here carry no checksums of their own: a CRC32C over 64 KiB costs a good part of what the hit itself costs, and the memory
// that would flip a bit here is the memory that the answer passes through anyway. The disk tier's pages do.
type memory struct {
	shards []shard
	mask   uint64
	limit  int64
}

type shard struct {
	index index
	full  atomic.Bool     // the last page to come needed the room of another, or nearly
	_     [lineBytes]byte // what a writer changes lies on other cache lines than what readers read
	mu    struct {
		sync.Mutex
		index indexWriter
		pages *policy.Protected[Key, *entry]
	}
	_ [lineBytes]byte
}

// lineBytes is two cache lines: processors fetch them in pairs.
const lineBytes = 128

// shardBytes is the least share of the limit that one shard gets: 32 pages of the largest size, so that a page of 1 MiB fits even the tenth
// that new pages pass through.
const shardBytes = 32 << 20

// maxShards is enough for 64 cores to bring pages without waiting for each other.
const maxShards = 64

// fullAt: a shard is taken for full when less than this part of it is free, a sixteenth: a page of 1 MiB in the smallest shard of a large tier.
const fullAt = 16

// indexCharge is what a page costs beside its bytes and policy.Overhead: its entry (48) and its part of the index when that is at its emptiest,
// less what Overhead counts for a value and a pointer does not take (16).
const indexCharge = 48 + sparseSlots*slotBytes - 16

// newMemory makes a tier of limit bytes. Each shard sets aside what its smallest index takes, 512 bytes, whether or not it holds a page.
func newMemory(limit int64, share float64) *memory {
	n := int64(1)
	for n < maxShards && limit/(n*2) >= shardBytes {
		n *= 2
	}
	m := &memory{shards: make([]shard, n), mask: uint64(n - 1), limit: limit}
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.index = newIndexWriter(&s.index)
		s.mu.pages = policy.NewProtected[Key, *entry](limit/n-minSlots*slotBytes, share)
		s.mu.pages.Watch(policy.Watch[Key, *entry]{
			Accesses: func(e *entry) uint32 { return e.hits.Swap(0) },
			Evicted:  func(_ Key, e *entry) { s.mu.index.remove(e) },
		})
	}
	return m
}

// of picks the shard by bits of the key, which is a hash.
func (m *memory) of(k *Key) *shard { return &m.shards[binary.LittleEndian.Uint64(k[:8])&m.mask] }

// get returns a page, which must not be changed, and counts the hit.
func (m *memory) get(k *Key) ([]byte, bool) {
	e := m.of(k).index.find(k)
	if e == nil {
		return nil, false
	}
	e.touch()
	return e.data, true
}

// peek returns a page, which must not be changed, without counting a hit.
func (m *memory) peek(k *Key) ([]byte, bool) {
	e := m.of(k).index.find(k)
	if e == nil {
		return nil, false
	}
	return e.data, true
}

// has reports whether a page is here, without counting a hit.
func (m *memory) has(k *Key) bool { return m.of(k).index.find(k) != nil }

// put keeps a page, if there is room to be made for it. data must not change afterwards.
func (m *memory) put(k Key, data []byte, metadata bool) {
	s := m.of(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.keep(s, k, data, metadata)
}

// offer keeps a page of data like put, unless somebody else is at work on its shard: a hit does not wait.
func (m *memory) offer(k Key, data []byte) {
	s := m.of(&k)
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	m.keep(s, k, data, false)
}

// keep is put under the shard's lock.
func (m *memory) keep(s *shard, k Key, data []byte, metadata bool) {
	if s.index.find(&k) != nil {
		return
	}
	e := &entry{key: k, data: data}
	if s.mu.pages.Add(k, e, heapSize(len(data))+indexCharge, metadata) {
		s.mu.index.insert(e)
	}
	m.notice(s)
}

// notice sets full. The caller holds the shard's lock.
func (m *memory) notice(s *shard) {
	of := m.limit / int64(len(m.shards))
	s.full.Store(s.mu.pages.Bytes() > of-of/fullAt)
}

// full reports whether a page of this key would push others out, or nearly.
func (m *memory) full(k *Key) bool { return m.of(k).full.Load() }

func (m *memory) remove(k Key) {
	s := m.of(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.index.find(&k); e != nil {
		s.mu.pages.Remove(k)
		s.mu.index.remove(e)
		m.notice(s)
	}
}

// usage is how many bytes are charged against the limit, by how many pages.
func (m *memory) usage() (bytes int64, pages int) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		bytes += s.mu.pages.Bytes()
		pages += s.mu.pages.Len()
		s.mu.Unlock()
	}
	return bytes, pages
}

// hugePageWorth is the least page that is asked to lie in huge pages. Smaller ones share the heap with all that is small.
const hugePageWorth = 16 << 10

// newPage makes room for a page that may stay in memory. A large one is to lie in huge pages: a processor then finds its 64 KiB by one look-up instead of
// sixteen.
func newPage(n int64) []byte {
	data := make([]byte, n)
	if n >= hugePageWorth {
		hugepages.Hint(data)
	}
	return data
}

// heapSize is what the Go heap takes for a slice of n bytes: whole 8 KiB pages above 32 KiB; below, size classes that waste at most an
// eighth.
func heapSize(n int) int64 {
	if n > 32<<10 {
		return (int64(n) + 8191) &^ 8191
	}
	return int64(n) + int64(n)/8 + 8
}
