package freshness

import "container/list"

// keysAtOnce is how many keys are copied under the book's lock.
const keysAtOnce = 512

// Keys calls do with the keys that were asked for, the last ones first, until it returns false. The book is not held up meanwhile: a key that comes, goes or is
// asked for while this runs may be missed, or told twice.
func (b *Book[T]) Keys(do func(key string) bool) {
	b.mu.Lock()
	left := b.mu.lru.Len()
	b.mu.Unlock()
	var at []*list.Element
	for keys := []string(nil); left > 0; left -= len(keys) {
		if at, keys = b.someKeys(at, min(left, keysAtOnce)); len(keys) == 0 {
			return
		}
		for _, key := range keys {
			if !do(key) {
				return
			}
		}
	}
}

// someKeys copies the keys that follow those which lie at before, with where they lie. Of those before, some may have gone: the last one that has not is gone on from.
func (b *Book[T]) someKeys(before []*list.Element, n int) (at []*list.Element, keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.mu.lru.Front()
	for i := len(before) - 1; i >= 0; i-- {
		if next = before[i].Next(); next != nil { // an element that was removed has none
			break
		}
	}
	for ; next != nil && len(keys) < n; next = next.Next() {
		at, keys = append(at, next), append(keys, next.Value.(*entry[T]).key)
	}
	return at, keys
}
