package freshness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errMissing = errors.New("missing")

func newBook(limit int64) *Book[int] {
	return NewBook(Options[int]{Limit: limit, Weigh: func(string, int) int64 { return 1 },
		Keep: func(err error) bool { return errors.Is(err, errMissing) }})
}

func within(d time.Duration) func(Answer[int]) time.Duration {
	return func(Answer[int]) time.Duration { return d }
}

// slowOrigin answers a number that grows with every question, after a delay.
type slowOrigin struct {
	n     atomic.Int64
	delay time.Duration
}

func (o *slowOrigin) ask(ctx context.Context) (int, error) {
	n := o.n.Add(1)
	select {
	case <-time.After(o.delay):
		return int(n), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func TestKeptAnswerServesWithinMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newBook(100), &slowOrigin{delay: time.Second}
		get := func(age time.Duration) int {
			a, _, err := b.Get(t.Context(), "k", within(age), o.ask)
			if err != nil {
				t.Fatal(err)
			}
			return a.Value
		}
		if v := get(10 * time.Second); v != 1 {
			t.Fatalf("first answer %d", v)
		}
		// The answer dates from when it was sent for, one second before it came.
		advance(9 * time.Second)
		if v := get(10 * time.Second); v != 1 {
			t.Errorf("10 s after the request was sent, a max_age of 10 s asked again (answer %d)", v)
		}
		advance(time.Millisecond)
		if v := get(10 * time.Second); v != 2 {
			t.Errorf("an answer older than max_age was served (answer %d)", v)
		}
		if v := get(0); v != 3 {
			t.Errorf("max_age 0 served a kept answer (%d)", v)
		}
		if v := get(Forever); v != 3 {
			t.Errorf("forever asked again (%d)", v)
		}
	})
}

// At max_age 0, any number of readers that overlap cost one request in flight and one after it; nobody is given the answer of a request
// that was sent before he came.
func TestAtZeroOneInFlightAndOnePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newBook(100), &slowOrigin{delay: time.Second}
		var wg sync.WaitGroup
		results := make([]int, 20)
		start := func(i int) {
			wg.Go(func() {
				a, _, _ := b.Get(t.Context(), "k", within(0), o.ask)
				results[i] = a.Value
			})
		}
		start(0)
		synctest.Wait()
		advance(100 * time.Millisecond)
		for i := 1; i < 20; i++ {
			start(i)
		}
		wg.Wait()
		if results[0] != 1 || o.n.Load() != 2 {
			t.Fatalf("first reader got %d, %d requests for 20 readers; want 1 and 2", results[0], o.n.Load())
		}
		for i := 1; i < 20; i++ {
			if results[i] != 2 {
				t.Errorf("reader %d came after request 1 was sent and got answer %d", i, results[i])
			}
		}
	})
}

func TestWithinMaxAgeARequestInFlightIsJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newBook(100), &slowOrigin{delay: time.Second}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if a, _, _ := b.Get(t.Context(), "k", within(2*time.Second), o.ask); a.Value != 1 {
					t.Errorf("answer %d", a.Value)
				}
			})
			advance(50 * time.Millisecond)
		}
		wg.Wait()
		if o.n.Load() != 1 {
			t.Errorf("%d requests", o.n.Load())
		}
	})
}

func TestErrorGoesOnlyToThoseWhoCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(100)
		var n atomic.Int64
		ask := func(context.Context) (int, error) {
			advance(time.Second)
			if n.Add(1) == 1 {
				return 0, errors.New("origin down")
			}
			return 7, nil
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := b.Get(t.Context(), "k", within(time.Hour), ask); err == nil {
				t.Error("the first reader got no error")
			}
		})
		advance(time.Millisecond)
		wg.Go(func() {
			a, _, err := b.Get(t.Context(), "k", within(time.Hour), ask)
			if err != nil || a.Value != 7 {
				t.Errorf("a reader that came later got %d, %v", a.Value, err)
			}
		})
		wg.Wait()
	})
}

func TestEachReaderLeavesOnItsOwnContextAndTheLastEndsTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(100)
		ended := make(chan error, 1)
		ask := func(ctx context.Context) (int, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return 0, ctx.Err()
		}
		ctx1, leave1 := context.WithCancel(t.Context())
		ctx2, leave2 := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, ctx := range []context.Context{ctx1, ctx2} {
			wg.Go(func() {
				if _, _, err := b.Get(ctx, "k", within(time.Hour), ask); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		leave1()
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("the request ended while somebody waited for it")
		default:
		}
		leave2()
		wg.Wait()
		<-ended
	})
}

func TestPanicFreesTheReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(100)
		_, _, err := b.Get(t.Context(), "k", within(0), func(context.Context) (int, error) { panic("boom") })
		var p *PanicError
		if !errors.As(err, &p) || p.Value != "boom" {
			t.Fatalf("got %v", err)
		}
	})
}

func TestFenceDropsWhatWasSentForBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, o := newBook(100), &slowOrigin{delay: time.Second}
		var wg sync.WaitGroup
		wg.Go(func() { b.Get(t.Context(), "k", within(time.Hour), o.ask) })
		advance(500 * time.Millisecond)
		sentBefore := time.Now()
		advance(time.Millisecond)
		b.Fence("k")
		advance(time.Millisecond)
		// In flight over the fence: not for those who come after it, not kept.
		a, _, _ := b.Get(t.Context(), "k", within(time.Hour), o.ask)
		if a.Value != 2 {
			t.Errorf("after a fence the answer of a request from before it was served: %d", a.Value)
		}
		wg.Wait()
		b.Confirm("k", 99, sentBefore)
		if a, _ := b.Peek("k"); a.Value != 2 {
			t.Errorf("a confirmation from before the fence was kept: %d", a.Value)
		}
		b.Confirm("k", 3, time.Now())
		if a, _ := b.Peek("k"); a.Value != 3 {
			t.Errorf("a confirmation from after the fence was not kept: %d", a.Value)
		}
	})
}

func TestForgottenFencesRefuseAllOlderConfirmations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(1 << 20)
		sent := time.Now()
		advance(time.Millisecond)
		b.Fence("first")
		for i := range maxFences {
			b.Fence("k" + strconv.Itoa(i))
		}
		b.Confirm("first", 1, sent)
		if _, ok := b.Peek("first"); ok {
			t.Error("an answer from before a forgotten fence was kept")
		}
		if len(b.fences.at) > maxFences {
			t.Errorf("%d fences are remembered", len(b.fences.at))
		}
	})
}

func TestNewestConfirmationWins(t *testing.T) {
	b := newBook(100)
	now := time.Now()
	b.Confirm("k", 2, now)
	b.Confirm("k", 1, now.Add(-time.Second))
	if a, _ := b.Peek("k"); a.Value != 2 {
		t.Errorf("an older confirmation replaced a newer one: %d", a.Value)
	}
}

func TestFenceAllAndLimit(t *testing.T) {
	b := newBook(3)
	for i := range 10 {
		b.Confirm(fmt.Sprint("k", i), i, time.Now())
	}
	if n, bytes := b.Usage(); n != 3 || bytes != 3 {
		t.Errorf("%d answers, %d bytes; the limit is 3", n, bytes)
	}
	b.FenceAll(func(key string) bool { return key == "k8" })
	if _, ok := b.Peek("k8"); ok {
		t.Error("k8 was fenced and is still kept")
	}
	if _, ok := b.Peek("k9"); !ok {
		t.Error("k9 was not fenced and is gone")
	}
}

// FenceSome takes what it is told to of what is kept, and of what is being asked for; whose answer is then for those who came before it, and is not kept.
func TestFenceSome(t *testing.T) {
	b := newBook(9)
	for i := range 3 {
		b.Confirm(fmt.Sprint("k", i), i, time.Now())
	}
	asked, answer, got := make(chan struct{}), make(chan int), make(chan int)
	go func() {
		a, _, _ := b.Get(context.Background(), "flying", func(Answer[int]) time.Duration { return Forever }, func(context.Context) (int, error) {
			close(asked)
			return <-answer, nil
		})
		got <- a.Value
	}()
	<-asked
	b.FenceSome(func(key string, kept *Answer[int]) bool { return kept == nil || kept.Value == 1 })
	answer <- 7
	if n := <-got; n != 7 {
		t.Errorf("who waited got %d", n)
	}
	for key, want := range map[string]bool{"k0": true, "k1": false, "k2": true, "flying": false} {
		if _, ok := b.Peek(key); ok != want {
			t.Errorf("%s is kept: %t, want %t", key, ok, want)
		}
	}
}

// A register that is written through fences and behind the book's back, read by many with random max_age: no reader ever gets a value that
// had been replaced longer than max_age before he came, and none from before a fence that was down when he came.
func TestRandomReadersNeverSeeAnAnswerOlderThanMaxAge(t *testing.T) {
	seed := seedFor(t)
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := newBook(100)
		var mu sync.Mutex
		value, fencedAt := 0, 0
		replaced := map[int]time.Time{} // when a value ceased to be the present one
		write := func() {
			mu.Lock()
			defer mu.Unlock()
			replaced[value] = time.Now()
			value++
		}
		ask := func(context.Context) (int, error) {
			advance(12 * time.Millisecond)
			mu.Lock()
			v := value
			mu.Unlock()
			advance(10 * time.Millisecond)
			return v, nil
		}
		var wg sync.WaitGroup
		for range 2000 {
			switch rng.IntN(12) {
			case 0:
				write()
			case 1:
				b.Fence("k")
				write()
				b.Fence("k")
				mu.Lock()
				fencedAt = value
				mu.Unlock()
			default:
				age := time.Duration(rng.IntN(4)) * 15 * time.Millisecond
				mu.Lock()
				arrived, atLeast := time.Now(), fencedAt
				mu.Unlock()
				wg.Go(func() {
					a, _, err := b.Get(t.Context(), "k", within(age), ask)
					mu.Lock()
					defer mu.Unlock()
					if gone, ok := replaced[a.Value]; ok && gone.Before(arrived.Add(-age)) {
						t.Errorf("value %d was replaced %v before the reader came; max_age %v (ALIO_SEED=%d)", a.Value, arrived.Sub(gone), age, seed)
					}
					if a.Value < atLeast || err != nil {
						t.Errorf("value %d from before the fence of %d, %v (ALIO_SEED=%d)", a.Value, atLeast, err, seed)
					}
				})
			}
			advance(time.Duration(rng.IntN(8)) * time.Millisecond)
		}
		wg.Wait()
	})
}

func seedFor(t *testing.T) uint64 {
	seed := rand.Uint64()
	if v := os.Getenv("ALIO_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("ALIO_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("ALIO_SEED=%d", seed)
	return seed
}

// advance lets the bubble's clock run; no real time passes.
func advance(d time.Duration) { <-time.After(d) }
