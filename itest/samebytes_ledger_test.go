package itest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// absent is the version of a path that names nothing.
const absent = ""

// ledger knows every state that a path was ever in, and when. A state may be seen from the moment its write began until the next write was done.
type ledger struct {
	mu    sync.Mutex
	paths map[string][]state
	data  map[string][]byte // by path and ETag
}

type state struct {
	etag  string // absent: deleted, or never written
	from  time.Time
	until time.Time // zero: still there
}

func newLedger(paths []string) *ledger {
	l := &ledger{paths: map[string][]state{}, data: map[string][]byte{}}
	for _, p := range paths {
		l.paths[p] = []state{{etag: absent}}
	}
	return l
}

// change runs one write, which returns the ETag of what it made, absent for a delete. Nobody judges an answer before the ledger has it.
func (l *ledger) change(path string, data []byte, write func() (etag string, err error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := time.Now()
	etag, err := write()
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	states := l.paths[path]
	if states[len(states)-1].etag == etag {
		return nil // the same bytes again, on a store whose ETags are sums
	}
	states[len(states)-1].until = time.Now()
	l.paths[path], l.data[path+"\x00"+etag] = append(states, state{etag: etag, from: began}), data
	return nil
}

// present reports whether the path names an object.
func (l *ledger) present(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	states := l.paths[path]
	return states[len(states)-1].etag != absent
}

// judge says what is wrong with an answer that was asked for and had at two moments: the bytes at off of a version, or that there is no object.
func (l *ledger) judge(path, etag string, off int64, got []byte, asked, had time.Time, maxAge time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if data := l.data[path+"\x00"+etag]; etag != absent && (off < 0 || off+int64(len(got)) > int64(len(data)) || !bytes.Equal(got, data[off:off+int64(len(got))])) {
		return fmt.Errorf("%d bytes at %d are not those of version %s (of %d bytes, %v), but %s", len(got), off, etag, len(data), l.when(path, etag), l.whose(path, off, got))
	}
	var last state
	for _, s := range l.paths[path] {
		if s.etag != etag {
			continue
		}
		if last = s; !s.from.After(had) && (s.until.IsZero() || !s.until.Before(asked.Add(-maxAge))) {
			return nil
		}
	}
	switch {
	case last.from.After(had):
		return fmt.Errorf("version %q was answered %v before it was written", etag, last.from.Sub(had))
	case last.until.IsZero():
		return fmt.Errorf("version %q never was", etag)
	}
	return fmt.Errorf("version %q was replaced %v before it was asked for; max_age is %v", etag, asked.Sub(last.until), maxAge)
}

// whose names the versions of the path that have these bytes.
func (l *ledger) whose(path string, off int64, got []byte) string {
	var all []string
	for _, s := range l.paths[path] {
		data := l.data[path+"\x00"+s.etag]
		if s.etag != absent && off >= 0 && off+int64(len(got)) <= int64(len(data)) && bytes.Equal(got, data[off:off+int64(len(got))]) {
			all = append(all, fmt.Sprintf("those of %s (of %d bytes, %v)", s.etag, len(data), l.when(path, s.etag)))
		}
	}
	if len(all) == 0 {
		return "of no version"
	}
	return strings.Join(all, ", ")
}

// when tells when a version was there, by milliseconds ago.
func (l *ledger) when(path, etag string) string {
	out := "never there"
	for _, s := range l.paths[path] {
		if s.etag == etag {
			out = fmt.Sprintf("from %d ms ago", time.Since(s.from).Milliseconds())
			if !s.until.IsZero() {
				out += fmt.Sprintf(" until %d ms ago", time.Since(s.until).Milliseconds())
			}
		}
	}
	return out
}
