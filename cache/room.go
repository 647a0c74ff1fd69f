package cache

import "context"

// Room is the memory of pages on their way: a fill takes what its pages need before it asks the origin, and each page gives its part back
// when the readers that joined it have taken it. A slow reader must not stop the others, so what lies here with nobody blocked on
// it is parked, and is dropped, oldest first, when a fill needs the room. Its reader finds the page in the tiers, or reads again.

// acquire waits for n bytes of room.
func (t *table) acquire(ctx context.Context, n int64) error {
	t.mu.Lock()
	if t.mu.queue.Len() == 0 && t.fitsLocked(n) {
		t.mu.used += n
		t.mu.Unlock()
		return nil
	}
	tk := &ticket{n: n, ready: make(chan struct{})}
	place := t.mu.queue.PushBack(tk)
	t.mu.Unlock()
	select {
	case <-tk.ready:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-tk.ready:
		t.releaseLocked(n)
	default:
		t.mu.queue.Remove(place)
		t.grantLocked()
	}
	return ctx.Err()
}

// fitsLocked makes room for n bytes by dropping parked pages, if that is enough.
func (t *table) fitsLocked(n int64) bool {
	if t.mu.used-t.mu.spare+n > t.limit {
		return false
	}
	for t.mu.used+n > t.limit {
		fl := t.mu.parked.Front().Value.(*flight)
		t.unparkLocked(fl)
		t.mu.used -= fl.charge
		fl.state, fl.data, fl.charge = gone, nil, 0
		t.mu.reclaimed++
	}
	return true
}

func (t *table) grantLocked() {
	for front := t.mu.queue.Front(); front != nil; front = t.mu.queue.Front() {
		tk := front.Value.(*ticket)
		if !t.fitsLocked(tk.n) {
			return
		}
		t.mu.queue.Remove(front)
		t.mu.used += tk.n
		close(tk.ready)
	}
}

func (t *table) releaseLocked(n int64) {
	t.mu.used -= n
	t.grantLocked()
}

// settleLocked sees to the room of a landed flight after one of its readers has come or gone: free when nobody wants it, parked when
// nobody is blocked on it.
func (t *table) settleLocked(fl *flight) {
	switch {
	case fl.refs == 0:
		t.unparkLocked(fl)
		n := fl.charge
		fl.data, fl.charge = nil, 0
		t.releaseLocked(n)
	case fl.waiting == 0 && fl.parked == nil:
		fl.parked = t.mu.parked.PushBack(fl)
		t.mu.spare += fl.charge
		t.grantLocked()
	}
}

func (t *table) unparkLocked(fl *flight) {
	if fl.parked != nil {
		t.mu.parked.Remove(fl.parked)
		t.mu.spare -= fl.charge
		fl.parked = nil
	}
}

// usage is the fill memory given out, the pages reclaimed so far and the fills under way.
func (t *table) usage() (used, reclaimed int64, fills int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.used, t.mu.reclaimed, len(t.mu.fills)
}
