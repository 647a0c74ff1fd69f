package disk

import (
	"sync"

	"github.com/alio-lake/alio/cache"
)

// item is a page that waits to be written.
type item struct {
	key   cache.Key
	class uint8
	data  []byte
	done  func(stored bool)
}

func (it item) finish(stored bool) {
	if it.done != nil {
		it.done(stored)
	}
}

// itemCost is what an item takes in memory beside its data, so that many small pages do not escape the limit.
const itemCost = 64

// queue is bounded in bytes, in the order of arrival. What was taken counts until it is released, since it is still in memory.
type queue struct {
	limit  int64
	signal chan struct{} // holds one token when there may be something to take

	mu    sync.Mutex
	items []item
	bytes int64
	down  bool
}

func (q *queue) init(limit int64) { q.limit, q.signal = limit, make(chan struct{}, 1) }

// push never waits; false if there is no room.
func (q *queue) push(it item) bool {
	cost := int64(len(it.data)) + itemCost
	q.mu.Lock()
	if q.down || q.bytes+cost > q.limit {
		q.mu.Unlock()
		return false
	}
	q.bytes += cost
	q.items = append(q.items, it)
	q.mu.Unlock()
	select {
	case q.signal <- struct{}{}:
	default:
	}
	return true
}

// take returns the items at the head, up to about want bytes but at least one if there is any.
func (q *queue) take(want int64) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, sum := 0, int64(0)
	for n < len(q.items) && (n == 0 || sum+int64(len(q.items[n].data)) <= want) {
		sum += int64(len(q.items[n].data))
		n++
	}
	batch := append([]item(nil), q.items[:n]...)
	clear(q.items[:n]) // the pages must not be kept alive by the array
	q.items = q.items[n:]
	if len(q.items) == 0 {
		q.items = nil
	}
	return batch
}

// release gives back the room of items that were taken.
func (q *queue) release(items []item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range items {
		q.bytes -= int64(len(it.data)) + itemCost
	}
}

// shut refuses whatever is pushed from now on.
func (q *queue) shut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.down = true
}

func (q *queue) drain() []item {
	q.shut()
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.bytes = nil, 0
	return items
}

func (q *queue) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
