package origintest_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	. "github.com/alio-lake/alio/origin/origintest"
)

func whole(path string) origin.ReadRequest {
	return origin.ReadRequest{Path: path, Length: origin.WholeRange}
}

// readAll reads what o answers to req.
func readAll(o origin.Origin, req origin.ReadRequest) (origin.Content, []byte, error) {
	c, err := o.Read(context.Background(), req)
	if err != nil {
		return c, nil, err
	}
	defer c.Body.Close()
	b, err := io.ReadAll(c.Body)
	return c, b, err
}

func TestFaultyFailsByRule(t *testing.T) {
	m := mem.New("f")
	m.Put("a/x", []byte("0123456789"))
	m.Put("b/x", []byte("0123456789"))
	f := NewFaulty(m, 1,
		Rule{Op: OpRead, Path: "a/*", Nth: 2, Effect: FailAfter(origin.ErrThrottled, time.Second)},
		Rule{Op: OpRead, Path: "a/*", Nth: 2, Effect: BreakBody(3)}, // its second is the third read: the first rule took the second
		Rule{Op: OpStat, Effect: Fail(origin.ErrDenied)},
		Rule{Op: OpList, Path: "*", Effect: Fail(origin.ErrUnavailable)},
	)
	if _, b, err := readAll(f, whole("a/x")); err != nil || string(b) != "0123456789" {
		t.Fatalf("first read: %q, %v", b, err)
	}
	_, _, err := readAll(f, whole("a/x"))
	if !errors.Is(err, origin.ErrThrottled) || origin.RetryAfter(err) != time.Second || !Injected(err) {
		t.Fatalf("second read: %v", err)
	}
	if _, b, err := readAll(f, whole("a/x")); !errors.Is(err, origin.ErrUnavailable) || string(b) != "012" {
		t.Fatalf("third read: %q, %v", b, err)
	}
	if _, b, err := readAll(f, whole("b/x")); err != nil || len(b) != 10 {
		t.Fatalf("a path outside the glob: %q, %v", b, err)
	}
	if _, err := f.Stat(context.Background(), "b/x"); !errors.Is(err, origin.ErrDenied) {
		t.Fatalf("stat: %v", err)
	}
	if _, err := f.List(context.Background(), origin.ListRequest{}); !errors.Is(err, origin.ErrUnavailable) {
		t.Fatalf("list: %v", err)
	}
	if n := len(f.Calls(OpRead)); n != 4 || len(f.Calls("")) != 6 {
		t.Errorf("%d reads of %d calls noted, want 4 of 6", n, len(f.Calls("")))
	}
	f.Clear()
	f.Forget()
	if _, err := f.Stat(context.Background(), "b/x"); err != nil || len(f.Calls("")) != 1 {
		t.Errorf("after Clear and Forget: %v, %d calls", err, len(f.Calls("")))
	}
}

func TestFaultyBodies(t *testing.T) {
	m := mem.New("f")
	put := m.Put("x", []byte("0123456789"))
	f := NewFaulty(m, 1, Rule{Op: OpRead, Effect: ShortBody(4)})
	if c, b, err := readAll(f, whole("x")); err != nil || string(b) != "0123" || c.Length != 10 {
		t.Errorf("short body: %q of %d, %v", b, c.Length, err)
	}
	f.Clear()
	f.Add(Rule{Effect: WrongVersion()})
	c, b, err := readAll(f, whole("x"))
	if err != nil || c.Object.Version == put.Version || c.Object.ETag == put.ETag || c.Object.Parts[0].ID == put.Parts[0].ID || b[0] != ^byte('0') {
		t.Errorf("wrong version: %+v %q %v", c.Object, b, err)
	}
	f.Clear()
	f.Add(Rule{Effect: FailBody(0, origin.ErrVersionChanged)})
	if _, b, err := readAll(f, whole("x")); !errors.Is(err, origin.ErrVersionChanged) || len(b) != 0 {
		t.Errorf("failing body: %q, %v", b, err)
	}
}

func TestFaultyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New("f")
		m.Put("x", []byte("0123456789"))
		f := NewFaulty(m, 1, Rule{Op: OpStat, Nth: 1, Effect: Delay(time.Minute)}, Rule{Op: OpStat, Effect: Hang()}, Rule{Op: OpRead, Effect: HangBody(2)})
		begin := time.Now()
		if _, err := f.Stat(t.Context(), "x"); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("delayed stat: %v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		c, err := f.Read(ctx, whole("x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Stat(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute+time.Hour {
			t.Errorf("hung stat: %v after %v", err, time.Since(begin))
		}
		if b, err := io.ReadAll(c.Body); !errors.Is(err, context.DeadlineExceeded) || len(b) > 2 {
			t.Errorf("hung body: %q, %v", b, err)
		}
	})
}

func TestFaultyProbabilityFollowsTheSeed(t *testing.T) {
	m := mem.New("f")
	m.Put("x", []byte("0"))
	draw := func(seed uint64) (out string) {
		f := NewFaulty(m, seed, Rule{Probability: 0.5, Effect: Fail(origin.ErrUnavailable)})
		for range 64 {
			_, err := f.Stat(context.Background(), "x")
			out += map[bool]string{true: ".", false: "F"}[err == nil]
		}
		return out
	}
	if a, b, c := draw(1), draw(1), draw(2); a != b || a == c {
		t.Errorf("seed 1 drew %s and %s, seed 2 drew %s", a, b, c)
	}
}
