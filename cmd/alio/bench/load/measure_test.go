package load

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a Reader that fills from the data set, and does what a test wants on the way.
type fake struct {
	buf    []byte
	at     int64
	read   func(*fake) error
	closes *atomic.Int64
	closed chan struct{}
	once   sync.Once
}

func (f *fake) Prepare(at int64, n int) error {
	f.at = at
	f.buf = f.buf[:n]
	return nil
}

func (f *fake) Read() ([]byte, error) {
	small.Fill(f.buf, f.at)
	if f.read != nil {
		if err := f.read(f); err != nil {
			return nil, err
		}
	}
	return f.buf, nil
}

func (f *fake) Interrupt() { f.once.Do(func() { close(f.closed) }) }

func (f *fake) Close() error {
	f.closes.Add(1)
	return nil
}

func fakeCell(closes *atomic.Int64, read func(*fake) error) Cell {
	return Cell{
		Data: small, Bytes: 4096, Readers: 3, Access: Uniform, Duration: 20 * time.Millisecond, Seed: 1,
		Dial: func() (Reader, error) {
			return &fake{buf: make([]byte, 4096), read: read, closes: closes, closed: make(chan struct{})}, nil
		},
	}
}

func TestMeasureCountsWhatWasRead(t *testing.T) {
	var closes, reads atomic.Int64
	var around []bool
	c := fakeCell(&closes, func(*fake) error { reads.Add(1); return nil })
	c.Around = func(done bool) error {
		around = append(around, done)
		if !done && reads.Load() != int64(c.Readers)*warmReads {
			t.Errorf("%d reads before the clock started", reads.Load())
		}
		return nil
	}
	r, err := Measure(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if want := reads.Load() - int64(c.Readers)*warmReads; r.Reads != want || r.Bytes != want*4096 || r.Reads < 3 {
		t.Errorf("%d reads, %d bytes; %d were made", r.Reads, r.Bytes, want)
	}
	if r.Wall < c.Duration || closes.Load() != 3 || len(around) != 2 || around[0] || !around[1] {
		t.Errorf("wall %v, %d closed, around %v", r.Wall, closes.Load(), around)
	}
	if perRead := float64(r.Mallocs) / float64(r.Reads); perRead > .2 {
		t.Errorf("the loop itself allocates %v times a read", perRead)
	}
}

func TestMeasureFindsWrongBytes(t *testing.T) {
	for name, c := range map[string]struct {
		read func(*fake) error
		want string
	}{
		"another place": {func(f *fake) error { small.Fill(f.buf, f.at^4096); return nil }, "wrong bytes"},
		"a bit":         {func(f *fake) error { f.buf[1000] ^= 4; return nil }, "wrong bytes"}, // found by a whole check
		"a short one":   {func(f *fake) error { f.buf = f.buf[:4088]; return nil }, "4088 bytes were read"},
		"an error":      {func(*fake) error { return errors.New("the path is gone") }, "the path is gone"},
	} {
		var closes atomic.Int64
		_, err := Measure(t.Context(), fakeCell(&closes, c.read))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "data-0000") {
			t.Errorf("%s: got %v, want an error with %q and the object's name", name, err, c.want)
		}
		if closes.Load() != 3 {
			t.Errorf("%s: %d of 3 readers closed", name, closes.Load())
		}
	}
}

// A bit that goes wrong long after the first reads is found by the whole checks.
func TestMeasureChecksWholeAnswersOnTheWay(t *testing.T) {
	var closes, reads atomic.Int64
	c := fakeCell(&closes, func(f *fake) error {
		if reads.Add(1) > 100 {
			f.buf[1000] ^= 4
		}
		return nil
	})
	c.Duration = time.Minute
	if _, err := Measure(t.Context(), c); err == nil || !strings.Contains(err.Error(), "wrong bytes") {
		t.Errorf("got %v", err)
	}
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var closes, reads atomic.Int64
	c := fakeCell(&closes, func(f *fake) error {
		if reads.Add(1) == 50 {
			cancel()
		}
		if reads.Load() >= 50 {
			<-f.closed // a path that does not answer any more
			return errors.New("interrupted")
		}
		return nil
	})
	c.Duration = time.Hour
	if _, err := Measure(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if closes.Load() != 3 {
		t.Errorf("%d of 3 readers closed", closes.Load())
	}
}

func TestMeasureClosesWhatItDialled(t *testing.T) {
	var closes, dials atomic.Int64
	c := fakeCell(&closes, nil)
	dial := c.Dial
	c.Dial = func() (Reader, error) {
		if dials.Add(1) == 3 {
			return nil, errors.New("refused")
		}
		return dial()
	}
	if _, err := Measure(t.Context(), c); err == nil || closes.Load() != 2 {
		t.Errorf("%v, %d closed", err, closes.Load())
	}
	c.Around = func(bool) error { return errors.New("no figures") }
	c.Dial = dial
	if _, err := Measure(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no figures") {
		t.Errorf("got %v", err)
	}
}
