package cache

import (
	"encoding/binary"
	"sync"

	"github.com/alio-lake/alio/cache/policy"
)

// memory is the memory tier: S3-FIFO in shards, each with its own lock and its own slice of the limit. A hit takes a shared lock and touches
// two bits. Pages are plain slices of the Go heap: a page that is evicted while somebody reads it lives until that reader lets go.
//
// Pages here carry no checksums of their own: a CRC32C over 64 KiB costs a good part of what the hit itself costs, and the memory
// that would flip a bit here is the memory that the answer passes through anyway. The disk tier's pages do.
type memory struct {
	shards []shard
	mask   uint64
	limit  int64
}

type shard struct {
	mu struct {
		sync.RWMutex
		pages *policy.Protected[Key, []byte]
	}
	_ [64]byte // keeps neighbours' locks on different cache lines
}

// shardBytes is the least share of the limit that one shard gets: 32 pages of the largest size, so that a page of 1 MiB fits even the tenth
// that new pages pass through.
const shardBytes = 32 << 20

// maxShards is enough for 64 cores to hit without waiting for each other.
const maxShards = 64

func newMemory(limit int64, share float64) *memory {
	n := int64(1)
	for n < maxShards && limit/(n*2) >= shardBytes {
		n *= 2
	}
	m := &memory{shards: make([]shard, n), mask: uint64(n - 1), limit: limit}
	for i := range m.shards {
		m.shards[i].mu.pages = policy.NewProtected[Key, []byte](limit/n, share)
	}
	return m
}

// of picks the shard by bits of the key, which is a hash.
func (m *memory) of(k Key) *shard { return &m.shards[binary.LittleEndian.Uint64(k[:8])&m.mask] }

// get returns a page, which must not be changed.
func (m *memory) get(k Key) ([]byte, bool) {
	s := m.of(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.pages.Get(k)
}

func (m *memory) has(k Key) bool {
	s := m.of(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.pages.Has(k)
}

// put keeps a page, if there is room to be made for it. data must not change afterwards.
func (m *memory) put(k Key, data []byte, metadata bool) {
	s := m.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.pages.Add(k, data, heapSize(len(data)), metadata)
}

func (m *memory) remove(k Key) {
	s := m.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.pages.Remove(k)
}

// usage is how many bytes are charged against the limit, by how many pages.
func (m *memory) usage() (bytes int64, pages int) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		bytes += s.mu.pages.Bytes()
		pages += s.mu.pages.Len()
		s.mu.RUnlock()
	}
	return bytes, pages
}

// heapSize is what the Go heap takes for a slice of n bytes: whole 8 KiB pages above 32 KiB; below, size classes that waste at most an
// eighth.
func heapSize(n int) int64 {
	if n > 32<<10 {
		return (int64(n) + 8191) &^ 8191
	}
	return int64(n) + int64(n)/8 + 8
}
