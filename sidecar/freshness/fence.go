package freshness

import (
	"errors"
	"fmt"
	"time"
)

// maxFences is how many fences are remembered one by one. When older ones are forgotten, answers sent for before the youngest
// forgotten one are refused altogether: they cost a request, never a stale answer.
const maxFences = 1 << 16

// fenceLog remembers when each key was last fenced, for answers that come by other ways than a Book's own calls.
type fenceLog struct {
	at      map[string]time.Time
	order   []string // in the order they were raised, the oldest at head
	head    int
	horizon time.Time // every fence raised up to here may have been forgotten
}

func (f *fenceLog) init() { f.at = make(map[string]time.Time) }

func (f *fenceLog) raise(key string, now time.Time) {
	if _, again := f.at[key]; !again {
		f.order = append(f.order, key)
	}
	f.at[key] = now
	for len(f.at) > maxFences {
		old := f.order[f.head]
		f.head++
		if t := f.at[old]; t.After(f.horizon) {
			f.horizon = t
		}
		delete(f.at, old)
	}
	if f.head > maxFences {
		f.order = append([]string(nil), f.order[f.head:]...)
		f.head = 0
	}
}

// raiseAll fences every key.
func (f *fenceLog) raiseAll(now time.Time) { f.horizon = now }

// overtakes reports whether an answer about key, sent for at a time, may be older than a write.
func (f *fenceLog) overtakes(key string, sent time.Time) bool {
	if !sent.After(f.horizon) {
		return true
	}
	t, ok := f.at[key]
	return ok && !sent.After(t)
}

var errPanicked = errors.New("the request ended without an answer")

// PanicError is what the readers of a request get whose ask panicked.
type PanicError struct{ Value any }

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: %v", e.Value) }
