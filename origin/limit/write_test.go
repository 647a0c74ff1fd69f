package limit_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/limit"
	"github.com/alio-lake/alio/origin/mem"
)

// writer takes a second for a Put.
type writer struct{ mem.Writer }

func (w *writer) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	<-time.After(time.Second)
	return w.Writer.Put(ctx, path, body, size, opts)
}

func TestWritesWaitForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := wrap(t, &writer{mem.Writer{Origin: mem.New("m")}}, limit.Options{Concurrency: 1})
		put := make(chan error)
		go func() {
			_, err := l.Put(t.Context(), "x", strings.NewReader("one"), 3, origin.PutOptions{})
			put <- err
		}()
		synctest.Wait() // the Put has the slot
		start := time.Now()
		if err := l.Delete(t.Context(), "x"); err != nil || time.Since(start) != time.Second {
			t.Errorf("a delete beside a put waits %v, %v; want a second", time.Since(start), err)
		}
		if err := <-put; err != nil {
			t.Error(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Put(ended, "x", strings.NewReader("one"), 3, origin.PutOptions{}); err != nil && !errors.Is(err, origin.ErrUnavailable) {
			t.Error(err)
		}
		if _, err := l.Stat(t.Context(), "y"); !errors.Is(err, origin.ErrNotFound) {
			t.Errorf("the slots were not all given back: %v", err)
		}
	})
	l := wrap(t, mem.New("m"), limit.Options{Concurrency: 1})
	_, err := l.Put(t.Context(), "x", strings.NewReader(""), 0, origin.PutOptions{})
	if err2 := l.Delete(t.Context(), "x"); !errors.Is(err, origin.ErrUnsupported) || !errors.Is(err2, origin.ErrUnsupported) {
		t.Errorf("an origin that cannot write: %v, %v", err, err2)
	}
}
