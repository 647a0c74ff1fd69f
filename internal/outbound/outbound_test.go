package outbound

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRetryAfter(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{"": 0, "0": 0, "12": 12 * time.Second, "-3": 0, "soon": 0, "99999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0} {
		if got := RetryAfter(s, now); got != want {
			t.Errorf("Retry-After %q: %v, want %v", s, got, want)
		}
	}
}

func TestContentRange(t *testing.T) {
	if off, n, size, ok := ContentRange("bytes 10-14/100"); !ok || off != 10 || n != 5 || size != 100 {
		t.Errorf("%d %d %d %v", off, n, size, ok)
	}
	for _, s := range []string{"", "bytes", "bytes 10-14", "bytes 10/100", "bytes 10-14/*", "bytes 14-10/100", "bytes 10-14/12", "bytes +1-+2/100", "items 1-2/3", "bytes */100"} {
		if _, _, _, ok := ContentRange(s); ok {
			t.Errorf("%q was taken for a range", s)
		}
	}
	for s, want := range map[string]int64{"bytes */100": 100, "bytes */0": 0, "bytes */-1": -1, "bytes 1-2/3": -1, "": -1, "bytes */*": -1} {
		if got := UnsatisfiedSize(s); got != want {
			t.Errorf("%q: size %d, want %d", s, got, want)
		}
	}
}

// A body is neither shorter nor longer than what was announced, however it is read.
func TestExactly(t *testing.T) {
	dressed := errors.New("dressed")
	fail := func(err error) error { return errors.Join(dressed, err) }
	for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader} {
		body := func(s string, n int64) *Body { return Exactly(io.NopCloser(wrap(strings.NewReader(s))), n, fail) }
		if b, err := io.ReadAll(body("abcde", 5)); err != nil || string(b) != "abcde" {
			t.Errorf("as announced: %q, %v", b, err)
		}
		if b, err := io.ReadAll(body("abcdefgh", 5)); err != nil || string(b) != "abcde" {
			t.Errorf("longer: %q, %v", b, err)
		}
		short := body("abc", 5)
		b, err := io.ReadAll(short)
		if !errors.Is(err, dressed) || !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != "abc" {
			t.Errorf("shorter: %q, %v", b, err)
		}
		if _, again := short.Read(make([]byte, 1)); again == nil || again == io.EOF {
			t.Errorf("shorter, read again: %v", again)
		}
		closed := body("abcde", 5)
		_ = closed.Close()
		if _, err := closed.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) || !errors.Is(err, dressed) {
			t.Errorf("closed: %v", err)
		}
	}
}

// Only time in which somebody waits for the other side counts, in both directions.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		context.AfterFunc(ctx, func() { _ = r.CloseWithError(ctx.Err()) })
		watched := Watch(r, time.Second, cancel)
		go func() { _, _ = w.Write([]byte("ab")) }()
		p := make([]byte, 1)
		for range 2 {
			if _, err := watched.Read(p); err != nil {
				t.Errorf("a read that is answered: %v", err)
			}
			<-time.After(time.Minute) // the reader's own time
		}
		for range 2 {
			if _, err := watched.Read(p); !errors.Is(err, ErrStalled) || errors.Is(err, context.Canceled) {
				t.Errorf("a read that nobody answers: %v", err)
			}
		}
		_ = watched.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		sent := Send(slow{time.Minute}, time.Second, cancel)
		for range 3 {
			if _, err := sent.Read(make([]byte, 1)); err != nil || ctx.Err() != nil || sent.Stalled() {
				t.Errorf("a body that is taken, of a slow source: %v, %v", err, ctx.Err())
			}
		}
		<-ctx.Done() // nobody takes more
		if !sent.Stalled() {
			t.Error("it did not stall")
		}
		sent.End()
	})
}

// slow takes its time for each byte.
type slow struct{ d time.Duration }

func (s slow) Read(p []byte) (int, error) { <-time.After(s.d); return len(p), nil }
