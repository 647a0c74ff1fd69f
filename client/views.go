package client

import (
	"container/list"
	"sync"
)

// views are the objects that are remembered, the one used last in front, within bounds of number and memory.
type views struct {
	most   int
	memory int64

	mu    sync.Mutex
	byKey map[viewKey]*list.Element // of *view
	order *list.List
	used  int64
}

func newViews(most int, memory int64) *views {
	return &views{most: most, memory: memory, byKey: map[viewKey]*list.Element{}, order: list.New()}
}

// tableLimit is how much memory one object's table may take: half of it.
func (s *views) tableLimit() int64 { return s.memory / 2 }

// fresh returns the view of a key if it may be used without asking: it is fresh, or etag (may be "") is what it has and may confirm it.
func (s *views) fresh(key viewKey, etag string) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	if e == nil {
		return nil
	}
	v := e.Value.(*view)
	same := etag != "" && etag == v.object.ETag
	if !(same && v.trusts.Load()) && !(v.isFresh() && (etag == "" || same)) {
		return nil
	}
	s.order.MoveToFront(e)
	return v
}

// put remembers what was told of an object. If it is the version that is known, that view is brought up to date and returned, so that all who
// have it open share it. spans are those that were told of.
func (s *views) put(told *view, spans []span) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[told.key]; e != nil {
		v := e.Value.(*view)
		if v.object.Version == told.object.Version && v.object.Size == told.object.Size && v.object.Version != "" && !v.changed.Load() {
			v.update(told.table.Load(), spans, s.tableLimit())
			v.fresh.Store(told.fresh.Load())
			v.trusts.Store(told.trusts.Load())
			s.order.MoveToFront(e)
			s.charge(v)
			s.trim()
			return v
		}
		s.remove(e)
	}
	if t := told.table.Load(); t.bytes() > s.tableLimit() {
		told.table.Store((&table{}).merged(t, nil, s.tableLimit()))
	}
	s.byKey[told.key] = s.order.PushFront(told)
	s.charge(told)
	s.trim()
	return told
}

// update puts what was told of some spans in the place of what was known of them.
func (v *view) update(told *table, ranges []span, limit int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.table.Store(v.table.Load().merged(told, ranges, limit))
}

// refreshed charges a view anew whose table has changed.
func (s *views) refreshed(v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[v.key]; e != nil && e.Value.(*view) == v {
		s.charge(v)
		s.trim()
	}
}

// drop forgets a view, whose version is not the present one any more. Files that have it open keep it.
func (s *views) drop(v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[v.key]; e != nil && e.Value.(*view) == v {
		s.remove(e)
	}
}

// charge, trim and remove: the caller holds the lock.
func (s *views) charge(v *view) {
	n := v.bytes()
	s.used += n - v.charged
	v.charged = n
}

func (s *views) trim() {
	for s.order.Len() > 1 && (s.used > s.memory || s.order.Len() > s.most) {
		s.remove(s.order.Back())
	}
}

func (s *views) remove(e *list.Element) {
	v := e.Value.(*view)
	s.order.Remove(e)
	delete(s.byKey, v.key)
	s.used -= v.charged
	v.charged = 0
}

func (s *views) usage() (count int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.Len(), s.used
}
