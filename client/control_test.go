package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// direct is an OriginReader over a fake's objects.
type direct struct {
	f     *fake
	reads atomic.Int64
	bytes atomic.Int64
}

func (d *direct) ReadAt(_ context.Context, o Object, p []byte, off int64) (int, error) {
	d.reads.Add(1)
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	obj := d.f.objects[o.Path]
	if obj == nil || o.ETag != "" && o.ETag != obj.etag {
		return 0, ErrVersionChanged
	}
	n := copy(p, obj.data[off:])
	d.bytes.Add(int64(n))
	return n, nil
}

// withFallback gives the rig's client a Fallback that reads the fake's objects.
func withFallback(t testing.TB, change ...func(*Options)) (*rig, *direct) {
	d := &direct{}
	r := newRig(t, append(change, func(o *Options) { o.Fallback = d })...)
	d.f = r.fake
	return r, d
}

// TestDeadSidecar: with the sidecar gone local pages are still read, others by the fallback; after one try the sidecar is not called but
// to find out whether it lives; back again, it is used again. Without a fallback the error says what to do.
func TestDeadSidecar(t *testing.T) {
	r, d := withFallback(t)
	o := r.object("a", 10_000, 1000)
	r.store(o, 0, 1, 2)
	f := r.open("a")
	r.fake.stop()
	rng := rand.New(rand.NewPCG(seed(t), 4))
	r.randomReads(f, o, rng, 20)
	if d.reads.Load() == 0 || r.local() == 0 || r.remote() != 0 {
		t.Fatalf("fallback %d, local %v, sidecar %v", d.reads.Load(), r.local(), r.remote())
	}
	r.randomReads(r.open("a"), o, rng, 10) // fresh
	eventually(t, "the breaker opens", func() bool { return r.metric("alio_client_breaker_open") == 1 })
	r.randomReads(f, o, rng, 20)
	if unreached, not := r.metric("alio_client_calls_total", "method=read", "result=unreached"), r.metric("alio_client_calls_total", "method=read", "result=not_tried"); unreached > 1 || not == 0 {
		t.Errorf("%v reads found no connection, %v were not tried", unreached, not)
	}
	if _, err := r.tryOpen("b"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), r.socket) {
		t.Errorf("an Open of what is not known: %v", err)
	}
	known := r.open("a", OpenOptions{ETag: `"no"`, Size: 10_000}) // the caller knows more
	if _, err := known.ReadAt(make([]byte, 10), 0); !errors.Is(err, ErrVersionChanged) {
		t.Errorf("the fallback did not get the ETag: %v", err)
	}
	r.want(r.open("c", OpenOptions{Size: 100}), r.object("c", 100, 100), 50, 100)
	r.start()
	eventually(t, "the sidecar is asked again", func() bool { r.want(f, o, 5000, 100); return r.remote() > 0 })
	if r.metric("alio_client_breaker_open") != 0 {
		t.Error("the breaker is still open")
	}

	alone := newRig(t)
	alone.store(alone.object("a", 10_000, 1000), 0)
	f = alone.open("a")
	alone.fake.stop()
	alone.want(f, alone.objects["a"], 0, 1000)
	p := make([]byte, 3000)
	if n, err := f.ReadAt(p, 500); n != 500 || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "Fallback") || !strings.Contains(err.Error(), `"a"`) {
		t.Fatalf("%d bytes, %v", n, err)
	}
}

// TestHungSidecar: where there is a fallback, a sidecar that takes calls and does not answer is given up within a control deadline, long
// before the read deadline, and no other read waits for it; one that answers its status and is slow (at the origin) is waited for.
func TestHungSidecar(t *testing.T) {
	r, d := withFallback(t, func(o *Options) { o.ControlDeadline = 50 * time.Millisecond })
	o := r.object("a", 10_000, 1000)
	f := r.open("a")
	r.hang(true)
	start := time.Now()
	r.want(f, o, 0, 10)
	if took := time.Since(start); took > 5*time.Second || d.reads.Load() != 1 {
		t.Fatalf("took %v, %d fallback reads", took, d.reads.Load())
	}
	for range 20 {
		r.want(f, o, 0, 10)
	}
	if late := r.metric("alio_client_calls_total", "method=read", "result=late"); late != 1 {
		t.Fatalf("%v reads waited for a sidecar that hangs", late)
	}
	r.hang(false)
	eventually(t, "it is asked again", func() bool { r.want(f, o, 0, 10); return r.remote() > 0 })

	r.fake.mu.Lock()
	r.reading = make(chan struct{})
	r.tired = codes.DeadlineExceeded // what a hung handler says when the caller's deadline ends it
	r.fake.mu.Unlock()
	start = time.Now()
	r.want(f, o, 0, 10)
	if took := time.Since(start); took > 5*time.Second || d.reads.Load() < 2 {
		t.Fatalf("a Status that ran out of time was taken for a sign of life: %v", took)
	}
	r.fake.mu.Lock()
	r.tired = 0
	r.fake.mu.Unlock()
	eventually(t, "it is used again", func() bool { ok, _, _ := r.breaker().allow(); return ok })
	before, statuses := d.reads.Load(), r.count("status")
	done := make(chan struct{})
	go func() { defer close(done); r.want(f, o, 20, 10) }()
	eventually(t, "the sidecar was asked whether it lives", func() bool { return r.count("status") > statuses })
	select {
	case <-done:
		t.Fatal("the read did not wait for the origin")
	case <-time.After(200 * time.Millisecond):
	}
	r.fake.mu.Lock()
	close(r.reading)
	r.reading = nil
	r.fake.mu.Unlock()
	<-done
	if d.reads.Load() != before {
		t.Fatal("a slow origin was read twice")
	}
}

// TestStoppedAfterAProbe: a sidecar that has just shown that it lives, and then stops with a read in its hands, is asked again while the read waits, and given up long
// before the read deadline.
func TestStoppedAfterAProbe(t *testing.T) {
	r, d := withFallback(t, func(o *Options) { o.ControlDeadline = 100 * time.Millisecond })
	o := r.object("a", 10_000, 1000)
	f := r.open("a")
	r.fake.mu.Lock()
	r.reading = make(chan struct{})
	r.fake.mu.Unlock()
	statuses := r.count("status")
	done := make(chan struct{})
	go func() { defer close(done); r.want(f, o, 20, 10) }()
	eventually(t, "the sidecar was asked whether it lives, and again", func() bool { return r.count("status") > statuses+1 })
	select {
	case <-done:
		t.Fatal("the read did not wait for a sidecar that lives")
	default:
	}
	r.hang(true)
	start := time.Now()
	<-done
	if took := time.Since(start); took > 5*time.Second || d.reads.Load() != 1 {
		t.Fatalf("took %v, %d fallback reads", took, d.reads.Load())
	}
}

// TestBreaker: one failure makes the sidecar suspect, an unanswered question opens the breaker, an answer closes it; what began before that is not held against it.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		why := errors.New("no")
		early := time.Now()
		<-time.After(time.Second)
		for range 2 {
			first := b.failed(time.Now(), why)
			if first == 0 || b.failed(time.Now(), why) != 0 || b.isOpen() {
				t.Fatal("not suspect, or twice")
			}
			ok, verdict, last := b.allow()
			if ok || last != why {
				t.Fatalf("calls are made: %v, %v", ok, last)
			}
			b.confirm(first - 1)
			if b.end(first-1) || b.isOpen() {
				t.Fatal("the answer to another question counted")
			}
			b.confirm(first)
			b.confirm(first)
			<-verdict
			if !b.isOpen() || !b.end(first) || b.end(first) || b.isOpen() {
				t.Fatal("an answer does not close it")
			}
			if ok, _, _ := b.allow(); !ok {
				t.Fatal("calls are not made")
			}
			<-time.After(time.Second)
		}
		if b.failed(early, why) != 0 {
			t.Fatal("it has answered since")
		}
		if slow := b.failed(time.Now(), why); b.end(slow) {
			t.Fatal("it was open before the question was over")
		}
	})
}

// TestOpenOfAFileThatChanges is tried once more.
func TestOpenOfAFileThatChanges(t *testing.T) {
	r := newRig(t)
	r.object("a", 10, 10)
	r.object("b", 10, 10)
	r.mangle = func(reply *apiv1.OpenReply) {
		if r.calls["open"] == 1 {
			reply.Files[0] = &apiv1.OpenedFile{Error: &apiv1.Error{Code: int32(codes.Aborted)}}
		}
	}
	for _, got := range r.OpenAll(context.Background(), []Target{{Mount: "lake", Path: "a"}, {Mount: "lake", Path: "b"}}) {
		need(t, got.Err)
	}
	if len(r.opens) != 2 || len(r.opens[1].GetFiles()) != 1 || r.opens[1].GetFiles()[0].GetPath() != "a" {
		t.Fatalf("asked %v", r.opens)
	}
}

// TestErrorsOfTheSidecarAreAnswers: they are passed on with their kind, do not open the breaker, and go to the fallback where the origin may say
// otherwise.
func TestErrorsOfTheSidecarAreAnswers(t *testing.T) {
	for code, kind := range map[codes.Code]error{
		codes.NotFound: ErrNotFound, codes.PermissionDenied: ErrDenied, codes.Unauthenticated: ErrDenied, codes.Aborted: ErrVersionChanged,
		codes.FailedPrecondition: ErrInvalid, codes.Unimplemented: ErrUnsupported, codes.Unavailable: ErrUnavailable, codes.ResourceExhausted: ErrUnavailable,
		codes.Internal: ErrUnavailable, 0: ErrUnavailable, 99: ErrUnavailable,
	} {
		r := newRig(t)
		r.object("a", 1000, 1000)
		r.mangle = func(reply *apiv1.OpenReply) {
			for i := range reply.Files {
				reply.Files[i] = &apiv1.OpenedFile{Error: &apiv1.Error{Code: int32(code), Message: "this is why"}}
			}
		}
		for range 5 {
			if _, err := r.tryOpen("a"); !errors.Is(err, kind) || !strings.Contains(err.Error(), "this is why") {
				t.Errorf("%v: %v", code, err)
			}
		}
		if r.metric("alio_client_breaker_open") != 0 {
			t.Errorf("%v opened the breaker", code)
		}
	}
	r := newRig(t)
	r.object("a", 10, 10)
	f := r.open("a")
	r.fail = codes.Unavailable // as a status of the call, which gRPC makes up, too, when it has no connection: whoever sends it lives
	for range 6 {
		if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrUnavailable) || r.breaker().isOpen() {
			t.Fatal(err)
		}
	}
	r.fail, r.short = 0, true
	if n, err := f.ReadAt(make([]byte, 10), 0); !errors.Is(err, ErrUnavailable) || n != 0 {
		t.Fatalf("an answer that ends early: %d bytes, %v", n, err)
	}
}

func (r *rig) breaker() *breaker { return &r.Client.control.breaker }

// TestRestart: another process makes every place void and has the directories looked at again; files that are open, and segments that are still
// there, go on.
func TestRestart(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 10_000, 1000)
	s := r.storeAll(o)
	f := r.open("a")
	r.want(f, o, 0, 10_000)
	if r.metric("alio_client_open_segments") != 1 {
		t.Fatal("nothing is open")
	}
	r.restart()
	gone := r.store(r.object("b", 1000, 1000), 0)
	r.want(f, o, 0, 10_000) // by the descriptor: nothing has been heard
	eventually(t, "the new process is met", func() bool {
		_, err := r.tryOpen("b")
		return err == nil
	})
	if r.metric("alio_client_forgets_total") != 1 {
		t.Fatalf("forgot %v times", r.metric("alio_client_forgets_total"))
	}
	r.want(f, o, 0, 10_000) // by Read: the places are void
	before := r.local()
	r.want(f, o, 0, 10_000) // they are asked for, and told again
	// Once at the start, once of the new process, and once more where a call to it took so long that it was doubted.
	if n := r.count("status"); r.local() != before+10_000 || n < 2 || n > 3 {
		t.Fatalf("%v bytes read locally, Status asked %d times", r.local()-before, r.count("status"))
	}
	if s.gone || gone.gone || r.metric("alio_client_forgets_total") != 1 {
		t.Fatal("forgot again")
	}
}

// TestRetired: what the sidecar says is gone is not read any more, and its descriptor closed, though the file may be there.
func TestRetired(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 4000, 1000)
	first, second := r.store(o, 0, 1), r.store(o, 2, 3)
	f := r.open("a")
	r.want(f, o, 0, 4000)
	need(t, os.Link(first.path, first.path+"x"))
	r.evict(first, false)
	r.want(f, o, 0, 4000) // nothing was heard yet
	r.object("b", 1000, 1000)
	r.open("b")
	eventually(t, "its descriptor is closed", func() bool { return r.metric("alio_client_open_segments") == 1 })
	before := r.local()
	r.want(f, o, 0, 4000)
	if r.local() != before+2000 || r.metric("alio_client_retired_segments_total") != 1 {
		t.Fatalf("%v bytes read locally, %v retired", r.local()-before, r.metric("alio_client_retired_segments_total"))
	}
	if second.gone {
		t.Fatal("the wrong one")
	}
}

// TestParallelAnswers: answers that come in another order than their questions lose no retirement.
func TestParallelAnswers(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 4000, 1000)
	s := r.storeAll(o)
	f := r.open("a")
	r.want(f, o, 0, 4000)
	since := r.session.since()
	late := &apiv1.OpenReply{Generation: since}
	r.evict(s, false)
	r.object("b", 10, 10)
	r.open("b")
	r.session.apply(context.Background(), since, late, patience{deadline: time.Second}) // answered before the eviction, and arrives after
	if got := r.session.since(); got != since+1 {
		t.Fatalf("generation %d, want %d", got, since+1)
	}
	r.evict(r.store(r.object("c", 10, 10), 0), false)
	next := r.session.since()
	a := &apiv1.OpenReply{Generation: next + 1, Retired: []*apiv1.Segment{r.lost[1]}}
	r.session.apply(context.Background(), next, a, patience{deadline: time.Second})
	r.session.apply(context.Background(), next, &apiv1.OpenReply{Generation: next + 5, Forget: true}, patience{deadline: time.Second})
	if got := r.session.since(); got != next+1 || r.metric("alio_client_forgets_total") != 0 {
		t.Fatalf("generation %d, want %d; %v", got, next+1, fmt.Sprint(r.metric("alio_client_forgets_total")))
	}
}
