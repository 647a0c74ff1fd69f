package consistency

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
)

// content is what a file holds: runs of harness.Pattern. Every write has a seed of its own, so each byte tells which write it is of and
// where in it. It is a value: no method changes it.
type content struct{ runs []run }

type run struct {
	seed uint64
	from int64 // position in the seed's sequence of the first byte
	n    int64
}

func (c content) size() (n int64) {
	for _, r := range c.runs {
		n += r.n
	}
	return n
}

// plus is the content with n bytes of a seed appended.
func (c content) plus(seed uint64, n int64) content {
	return content{append(append([]run(nil), c.runs...), run{seed, 0, n})}
}

// cut is the start of the content.
func (c content) cut(n int64) content {
	out := content{}
	for _, r := range c.runs {
		if k := min(r.n, n); k > 0 {
			out.runs = append(out.runs, run{r.seed, r.from, k})
			n -= k
		}
	}
	return out
}

// bytes are n bytes at off, which must lie within.
func (c content) bytes(off, n int64) []byte {
	b := make([]byte, n)
	at := int64(0)
	for _, r := range c.runs {
		lo, hi := max(off, at), min(off+n, at+r.n)
		if lo < hi {
			harness.Pattern(b[lo-off:hi-off], r.seed, r.from+lo-at)
		}
		at += r.n
	}
	return b
}

// state is what one path shows from some moment within begun to done until the next state is shown.
type state struct {
	absent  bool
	content content
	least   int64     // the file may show any size from here to the content's: it is being written
	begun   time.Time // before the write was sent
	done    time.Time // after it was answered; zero until then
	what    string    // for messages
}

func (s *state) String() string {
	if s.absent {
		return "absent by " + s.what
	}
	return fmt.Sprintf("%d to %d bytes by %s", s.least, s.content.size(), s.what)
}

// name tells contents apart: equal names, equal bytes.
func (c content) name() string { return fmt.Sprint(c.runs) }

// history knows every state of every path. All methods may be called in parallel.
type history struct {
	mu       sync.Mutex
	states   map[string][]*state
	versions map[string]map[string]bool // the contents that a version may mean, by name

	reads, absent, beyond, failed, overlapping atomic.Int64
	bytes                                      atomic.Int64
}

func newHistory() *history {
	return &history{states: map[string][]*state{}, versions: map[string]map[string]bool{}}
}

// begin says that from now on a path may show a state, until finish only may.
func (h *history) begin(path string, s *state) *state {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.begun = time.Now()
	h.states[path] = append(h.states[path], s)
	return s
}

// finish says that the states are what their paths show from now on.
func (h *history) finish(states ...*state) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range states {
		s.done = time.Now()
	}
}

// before is what a path showed, the latest last, for messages.
func (h *history) before(path string) []*state {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.states[path]
	return all[max(0, len(all)-12):]
}

// question is one read.
type question struct {
	path            string
	off, n, suffix  int64 // as origin.ReadRequest has them
	maxAge          time.Duration
	asked, answered time.Time
}

func (q question) String() string {
	return fmt.Sprintf("%s off %d n %d suffix %d max_age %v", q.path, q.off, q.n, q.suffix, q.maxAge)
}

// answer is what it got.
type answer struct {
	version string
	size    int64 // of the whole file
	off     int64
	data    []byte
}

// allowed are the states that an answer may be of, the newest first: all that may have been shown between the oldest confirmation that
// counts and the answer. A path that nobody has written is absent.
func (h *history) allowed(q question) []*state {
	var ok []*state
	states := h.states[q.path]
	for i := len(states) - 1; i >= 0; i-- {
		s := states[i]
		if s.begun.After(q.answered) {
			continue
		}
		ok = append(ok, s)
		if !s.done.IsZero() && s.done.Before(q.asked.Add(-q.maxAge)) {
			return ok
		}
	}
	return append(ok, &state{absent: true, what: "nobody"})
}

// judge says what is wrong with an answer, or nil.
func (h *history) judge(q question, a answer, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	ok := h.allowed(q)
	if err != nil {
		return h.judgeError(q, ok, err)
	}
	h.reads.Add(1)
	h.bytes.Add(int64(len(a.data)))
	meanings := map[string]bool{}
	for _, s := range ok {
		if s.shows(q, a) {
			meanings[s.content.cut(a.size).name()] = true
		}
	}
	if len(meanings) == 0 {
		return fmt.Errorf("%v: %d bytes at %d of %d (version %.16s) are of none of the states allowed: %v; %s", q, len(a.data), a.off, a.size, a.version, ok, h.trace(q, a))
	}
	if len(ok) > 1 {
		h.overlapping.Add(1)
	}
	return h.oneMeaning(q, a, meanings)
}

// oneMeaning checks that a version never names two contents.
func (h *history) oneMeaning(q question, a answer, meanings map[string]bool) error {
	if a.version == "" { // a file that is being written has no ETag at the S3 door
		return nil
	}
	before, seen := h.versions[a.version]
	if !seen {
		h.versions[a.version] = meanings
		return nil
	}
	both := map[string]bool{}
	for m := range meanings {
		if before[m] {
			both[m] = true
		}
	}
	if len(both) == 0 {
		return fmt.Errorf("%v: version %.16s means %v now and meant %v before", q, a.version, meanings, before)
	}
	h.versions[a.version] = both
	return nil
}

// shows tells whether an answer is of a state, all of it.
func (s *state) shows(q question, a answer) bool {
	if s.absent {
		return false
	}
	most := s.content.size()
	if a.size < s.least || a.size > most {
		return false
	}
	off, n, err := origin.ReadRequest{Path: q.path, Offset: q.off, Length: q.n, Suffix: q.suffix}.Resolve(a.size)
	return err == nil && off == a.off && n == int64(len(a.data)) && bytes.Equal(s.content.bytes(off, n), a.data)
}

// trace says where bytes come from that no allowed state has.
func (h *history) trace(q question, a answer) string {
	states := h.states[q.path]
	for i := len(states) - 1; i >= 0; i-- {
		s := states[i]
		if !s.shows(q, a) {
			continue
		}
		if i+1 < len(states) && !states[i+1].done.IsZero() {
			return fmt.Sprintf("stale: they are %v, replaced %v before the question", s, q.asked.Sub(states[i+1].done))
		}
		return fmt.Sprintf("they are %v, begun %v after the answer", s, s.begun.Sub(q.answered))
	}
	return "no state that the path ever had has them: " + h.firstWrong(q, a)
}

// firstWrong tells how far the newest allowed state agrees.
func (h *history) firstWrong(q question, a answer) string {
	for _, s := range h.allowed(q) {
		if s.absent || a.off+int64(len(a.data)) > s.content.size() {
			continue
		}
		want := s.content.bytes(a.off, int64(len(a.data)))
		for i := range want {
			if want[i] != a.data[i] {
				return fmt.Sprintf("%v agrees up to offset %d", s, a.off+int64(i))
			}
		}
		return fmt.Sprintf("%v has these bytes and another size", s)
	}
	return "none is long enough"
}

// judgeError says whether a read could fail as it did: because a state says so, or because the file changed meanwhile.
func (h *history) judgeError(q question, ok []*state, err error) error {
	switch {
	case errors.Is(err, origin.ErrNotFound):
		for _, s := range ok {
			if s.absent {
				h.absent.Add(1)
				return nil
			}
		}
	case errors.Is(err, origin.ErrInvalidRange):
		for _, s := range ok {
			// S3 has no range of an empty object, not even its end.
			if !s.absent && (q.suffix == 0 && q.off >= s.least || q.suffix > 0 && s.least == 0) {
				h.beyond.Add(1)
				return nil
			}
		}
	case errors.Is(err, origin.ErrVersionChanged), errors.Is(err, origin.ErrUnavailable):
		if len(ok) > 1 {
			h.failed.Add(1)
			return nil
		}
	}
	return fmt.Errorf("%v: failed where the states allowed are %v: %w", q, ok, err)
}

// report is one line of what was judged.
func (h *history) report() string {
	return fmt.Sprintf("%d reads of %d MB, %d of them beside a write, %d found nothing, %d began past the end, %d failed because the file changed",
		h.reads.Load(), h.bytes.Load()>>20, h.overlapping.Load(), h.absent.Load(), h.beyond.Load(), h.failed.Load())
}
