package retry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/origin/retry"
)

func wrap(t testing.TB, o origin.Origin, opts retry.Options) *retry.Origin {
	t.Helper()
	r, err := retry.New(o, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConformance(t *testing.T) {
	origintest.Run(t, func(t *testing.T) origintest.Fixture {
		return origintest.Memory(mem.New("m"), func(o origin.Origin) origin.Origin {
			return wrap(t, mem.Writer{Origin: o.(*mem.Origin)}, retry.Options{})
		})
	})
}

// TestConformanceOverFaults runs the suite over an origin of which every third call fails or breaks: nobody above notices.
func TestConformanceOverFaults(t *testing.T) {
	seed := origintest.Seed(t)
	origintest.Run(t, func(t *testing.T) origintest.Fixture {
		return origintest.Memory(mem.New("m"), func(o origin.Origin) origin.Origin {
			f := origintest.NewFaulty(o, seed,
				origintest.Rule{Probability: 0.1, Effect: origintest.Fail(origin.ErrUnavailable)},
				origintest.Rule{Probability: 0.1, Effect: origintest.FailAfter(origin.ErrThrottled, time.Microsecond)},
				origintest.Rule{Op: origintest.OpRead, Probability: 0.1, Effect: origintest.BreakBody(5)},
				origintest.Rule{Op: origintest.OpRead, Probability: 0.1, Effect: origintest.ShortBody(70_000)},
			)
			return wrap(t, f, retry.Options{MaxAttempts: 40, BaseWait: time.Microsecond, MaxWait: 10 * time.Microsecond})
		})
	})
}

func TestRetriesOnlyWhatMayPass(t *testing.T) {
	for _, c := range []struct {
		kind  error
		calls int
	}{
		{origin.ErrUnavailable, 3}, {origin.ErrThrottled, 3}, {origin.ErrNotFound, 1}, {origin.ErrDenied, 1}, {origin.ErrVersionChanged, 1},
		{origin.ErrInvalidRange, 1}, {origin.ErrInvalid, 1}, {origin.ErrUnsupported, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := origintest.NewFaulty(mem.New("m"), 1, origintest.Rule{Effect: origintest.Fail(c.kind)})
			r := wrap(t, f, retry.Options{MaxAttempts: 3})
			_, err1 := r.Stat(t.Context(), "x")
			_, err2 := r.Read(t.Context(), origin.ReadRequest{Path: "x", Length: 1})
			_, err3 := r.List(t.Context(), origin.ListRequest{Prefix: "x"})
			for i, err := range []error{err1, err2, err3} {
				op := []string{origintest.OpStat, origintest.OpRead, origintest.OpList}[i]
				if n := len(f.Calls(op)); n != c.calls || origin.Kind(err) != c.kind {
					t.Errorf("%v: %s was called %d times, want %d; error %v", c.kind, op, n, c.calls, err)
				}
			}
			if c.calls > 1 && !strings.Contains(err1.Error(), "gave up after 3 tries") {
				t.Errorf("the error does not say how often it was tried: %v", err1)
			}
		})
	}
}

func TestRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New("m")
		put := m.Put("x", []byte("0123456789"))
		f := origintest.NewFaulty(m, 1,
			origintest.Rule{Op: origintest.OpStat, Nth: 1, Effect: origintest.Fail(origin.ErrUnavailable)},
			origintest.Rule{Op: origintest.OpStat, Nth: 1, Effect: origintest.FailAfter(origin.ErrThrottled, 7*time.Second)})
		var events []retry.Event
		r := wrap(t, f, retry.Options{Observe: func(e retry.Event) { events = append(events, e) }})
		begin := time.Now()
		obj, err := r.Stat(t.Context(), "x")
		if err != nil || obj.Version != put.Version {
			t.Fatalf("%+v, %v", obj, err)
		}
		// 50 ms and 100 ms bound the two jitters; 7 s were asked for.
		if d := time.Since(begin); d < 7*time.Second || d > 7*time.Second+150*time.Millisecond {
			t.Errorf("waited %v, want the 7 s that the origin asked for and at most 150 ms of jitter", d)
		}
		if len(events) != 2 || events[0].Attempt != 1 || events[1].Wait < 7*time.Second || events[1].GaveUp || events[1].Op != "stat" {
			t.Errorf("events: %+v", events)
		}
	})
}

func TestJitterGrowsAndFollowsTheSeed(t *testing.T) {
	waits := func(seed uint64) (out []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			f := origintest.NewFaulty(mem.New("m"), 1, origintest.Rule{Effect: origintest.Fail(origin.ErrUnavailable)})
			r := wrap(t, f, retry.Options{Seed: seed, MaxAttempts: 40, MaxElapsed: time.Hour, BaseWait: time.Millisecond, MaxWait: time.Second,
				Observe: func(e retry.Event) { out = append(out, e.Wait) }})
			_, _ = r.Stat(t.Context(), "x") // fails: only its waits matter
		})
		return out
	}
	a, b, c := waits(1), waits(1), waits(2)
	var sum, most time.Duration
	differ := false
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("one seed drew %v and %v", a, b)
		}
		differ = differ || a[i] != c[i]
		if bound := min(time.Second, time.Millisecond<<i); a[i] > bound {
			t.Errorf("wait %d is %v, above its bound %v", i, a[i], bound)
		}
		sum, most = sum+a[i], max(most, a[i])
	}
	if !differ || most < 500*time.Millisecond || sum > 25*time.Second {
		t.Errorf("waits %v: want full jitter that differs by seed and reaches towards 1 s", a)
	}
}

func TestGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := origintest.NewFaulty(mem.New("m"), 1, origintest.Rule{Effect: origintest.FailAfter(origin.ErrThrottled, 4*time.Second)})
		gaveUp := 0
		r := wrap(t, f, retry.Options{MaxAttempts: 100, MaxElapsed: 10 * time.Second, Observe: func(e retry.Event) {
			if e.GaveUp {
				gaveUp++
			}
		}})
		begin := time.Now()
		if _, err := r.Stat(t.Context(), "x"); !errors.Is(err, origin.ErrThrottled) || time.Since(begin) > 10*time.Second || len(f.Calls("")) != 3 || gaveUp != 1 {
			t.Errorf("after %v and %d tries: %v", time.Since(begin), len(f.Calls("")), err)
		}
		// A wait that the caller's deadline does not leave room for is not begun.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin = time.Now()
		if _, err := r.Stat(ctx, "x"); !errors.Is(err, origin.ErrThrottled) || time.Since(begin) != 0 {
			t.Errorf("with a deadline of 3 s: %v after %v", err, time.Since(begin))
		}
		// A context that ends during a wait ends the call.
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		begin = time.Now()
		if _, err := r.Stat(ctx, "x"); !errors.Is(err, context.Canceled) || !errors.Is(err, origin.ErrThrottled) || time.Since(begin) != time.Second {
			t.Errorf("cancelled after 1 s: %v after %v", err, time.Since(begin))
		}
	})
}

func TestOptions(t *testing.T) {
	_, err := retry.New(mem.New("m"), retry.Options{MaxAttempts: -1, MaxElapsed: -1, BaseWait: -1, MaxWait: -1})
	for _, name := range []string{"MaxAttempts", "MaxElapsed", "BaseWait", "MaxWait"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	m := mem.New("m")
	if r := wrap(t, m, retry.Options{}); r.Unwrap() != origin.Origin(m) || r.ID() != m.ID() {
		t.Error("Unwrap or ID is not the wrapped origin's")
	}
}
