package freshness

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestKeys: keys are told in the order in which they were asked for, the last first, though the book changes meanwhile; what was only hinted at is not told.
func TestKeys(t *testing.T) {
	b := NewBook(Options[int]{Limit: 1 << 20, Weigh: func(string, int) int64 { return 1 }})
	for i := range 3 * keysAtOnce {
		b.Confirm(fmt.Sprint(i), i, time.Now())
	}
	b.Hint("hint", 1, time.Now())
	b.Peek("7")
	var got []string
	b.Keys(func(key string) bool { got = append(got, key); return true })
	want := []string{"7"}
	for i := 3*keysAtOnce - 1; i >= 0; i-- {
		if i != 7 {
			want = append(want, fmt.Sprint(i))
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d keys, %d wanted: %v", len(got), len(want), got[:10])
	}

	// The last of each batch go or are asked for again while the batch is told: no other key is missed.
	seen, n := map[string]bool{}, 0
	b.Keys(func(key string) bool {
		if n++; n%keysAtOnce == keysAtOnce/2 {
			for i, k := range want[n+keysAtOnce/2-3 : n+keysAtOnce/2] {
				if i == 0 {
					b.Peek(k)
				}
				b.Fence(k)
			}
		}
		seen[key] = true
		return true
	})
	if missing := len(want) - len(seen); missing > 0 {
		t.Errorf("%d keys were missed", missing)
	}
	n = 0
	b.Keys(func(string) bool { n++; return n < 5 })
	if n != 5 {
		t.Errorf("%d keys were told to one who wanted 5", n)
	}
}
