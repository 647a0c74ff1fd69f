package policy

import "math"

// Protected shares one limit of bytes between data and metadata, each under its own S3FIFO: data never pushes out metadata until metadata
// takes more than its protected share; metadata may use what data leaves free, and gives it back. So a scan of a table cannot
// push out the footers that every query of it begins with.
//
// Get and Has may run in parallel with each other; every other method needs to run alone.
type Protected[K comparable, V any] struct {
	limit, share int64
	data, meta   *S3FIFO[K, V]
}

// NewProtected makes an empty policy of at most limit bytes, of which share (0 to 1) is protected for metadata.
func NewProtected[K comparable, V any](limit int64, share float64) *Protected[K, V] {
	return &Protected[K, V]{
		limit: limit,
		share: int64(float64(limit) * min(max(share, 0), 1)),
		data:  NewS3FIFO[K, V](limit),
		meta:  NewS3FIFO[K, V](limit),
	}
}

// Watch sets what the policy asks and tells its caller. It is called before the first Add.
func (p *Protected[K, V]) Watch(w Watch[K, V]) {
	p.data.Watch(w)
	p.meta.Watch(w)
}

// Get returns the value of k and counts the access.
func (p *Protected[K, V]) Get(k K) (V, bool) {
	if v, ok := p.data.Get(k); ok {
		return v, true
	}
	return p.meta.Get(k)
}

// Has reports whether k is held, without counting an access.
func (p *Protected[K, V]) Has(k K) bool { return p.data.Has(k) || p.meta.Has(k) }

// Add makes room and adds an entry of a weight in bytes, as metadata or as data. It reports whether k is held afterwards: false for an
// entry for which no room may be made. A key that is already held stays as it is.
func (p *Protected[K, V]) Add(k K, v V, weight int64, metadata bool) bool {
	if p.Has(k) {
		return true
	}
	to, room := p.data, p.limit-min(p.meta.Bytes(), p.share)
	if metadata {
		to, room = p.meta, p.limit
	}
	if weight < 0 || weight > math.MaxUint32 || weight+Overhead > room {
		return false
	}
	back := to.forget(k)
	if !p.makeRoom(metadata, weight+Overhead) {
		return false
	}
	to.insert(k, v, weight, back)
	return true
}

// makeRoom evicts until need more bytes fit.
func (p *Protected[K, V]) makeRoom(metadata bool, need int64) bool {
	for p.Bytes()+need > p.limit {
		m := p.meta.Bytes()
		if metadata {
			m += need
		}
		switch {
		case m > p.share && p.meta.Len() > 0:
			p.meta.evict()
		case p.data.Len() > 0:
			p.data.evict()
		case p.data.dropGhost() || p.meta.dropGhost():
		default:
			return false
		}
	}
	return true
}

// Remove lets go of k, leaving no ghost, and reports whether it was held.
func (p *Protected[K, V]) Remove(k K) bool { return p.data.Remove(k) || p.meta.Remove(k) }

// Len is the number of entries held.
func (p *Protected[K, V]) Len() int { return p.data.Len() + p.meta.Len() }

// Bytes is all that is charged against the limit: weights, and Overhead for each entry and each ghost.
func (p *Protected[K, V]) Bytes() int64 { return p.data.Bytes() + p.meta.Bytes() }

// MetadataBytes is the part of Bytes that metadata takes.
func (p *Protected[K, V]) MetadataBytes() int64 { return p.meta.Bytes() }
