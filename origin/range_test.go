package origin

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		off, length, suffix, size int64
		wantOff, wantLen          int64
		bad                       bool
	}{
		{0, 10, 0, 100, 0, 10, false},
		{90, 20, 0, 100, 90, 10, false},
		{99, math.MaxInt64, 0, 100, 99, 1, false},
		{0, WholeRange, 0, 100, 0, 100, false},
		{50, WholeRange, 0, 100, 50, 50, false},
		{0, 0, 10, 100, 90, 10, false},
		{7, 0, 1000, 100, 0, 100, false},
		{100, 1, 0, 100, 0, 0, true},
		{101, WholeRange, 0, 100, 0, 0, true},
		{0, WholeRange, 0, 0, 0, 0, false},
		{0, 0, 5, 0, 0, 0, false},
		{0, 1, 0, 0, 0, 0, true},
		{1, WholeRange, 0, 0, 0, 0, true},
	} {
		r := ReadRequest{Path: "p", Offset: c.off, Length: c.length, Suffix: c.suffix}
		off, n, err := r.Resolve(c.size)
		if c.bad {
			var e *Error
			if !errors.Is(err, ErrInvalidRange) || !errors.As(err, &e) || e.Size != c.size {
				t.Errorf("%+v of %d: error %v, want an ErrInvalidRange that tells the size", r, c.size, err)
			}
			continue
		}
		if err != nil || off != c.wantOff || n != c.wantLen {
			t.Errorf("%+v of %d: %d+%d, %v; want %d+%d", r, c.size, off, n, err, c.wantOff, c.wantLen)
		}
	}
}

func TestValidate(t *testing.T) {
	good := []ReadRequest{{Path: "p", Length: 1}, {Path: "p", Length: WholeRange}, {Path: "p", Suffix: 1, Offset: -7}}
	bad := []ReadRequest{{Length: 1}, {Path: "p"}, {Path: "p", Length: -2}, {Path: "p", Length: 1, Offset: -1}, {Path: "p", Suffix: -1, Length: 1}}
	for _, r := range good {
		if err := r.Validate(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range bad {
		if err := r.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", r, err)
		}
	}
}

func TestErrorKinds(t *testing.T) {
	e := NewError(ErrThrottled, "read", "a/b", errors.New("SlowDown"))
	e.RetryAfter = 3 * time.Second
	err := fmt.Errorf("while filling: %w", e)
	if Kind(err) != ErrThrottled || Permanent(err) || RetryAfter(err) != 3*time.Second {
		t.Errorf("kind %v, permanent %v, retry after %v", Kind(err), Permanent(err), RetryAfter(err))
	}
	if got, want := e.Error(), `read "a/b": throttled: SlowDown`; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if !Permanent(NewError(ErrNotFound, "stat", "x", nil)) || RetryAfter(errors.New("x")) != 0 || Kind(errors.New("x")) != ErrUnavailable {
		t.Error("a not found is permanent; a stranger is unavailable with no time to wait")
	}
}
