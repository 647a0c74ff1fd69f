package sidecar

import (
	"context"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// ahead fetches what readers are likely to ask for next. What that is, prefetch and formats say; here it is queued, fetched when readers leave room for it, and
// dropped when it has become useless. It starts goroutines only while there is something to do.
type ahead struct {
	s       *Sidecar
	policy  atomic.Pointer[prefetch.Policy]
	learner *prefetch.Learner
	ledger  *prefetch.Ledger
	metrics *prefetch.Metrics
	folders folders

	ctx     context.Context // of every job
	quit    context.CancelFunc
	running sync.WaitGroup

	mu struct {
		sync.Mutex
		queue    []*job
		known    map[string]struct{} // what is queued or at work, by jobs' names
		active   map[*job]struct{}
		requests map[*mounted]int // jobs at work that make requests
		workers  int
		waiting  bool // a worker waits until readers leave room
	}
}

const (
	// aheadQueue is the most jobs that wait.
	aheadQueue = 1024
	// aheadPatience is how long a job waits for room beside readers: what is fetched later than that is fetched by whoever needs it.
	aheadPatience = time.Second
	// aheadPoll is how often a waiting worker looks whether there is room.
	aheadPoll = 2 * time.Millisecond
)

// job is something to be done for a path that nobody waits for.
type job struct {
	name    string // two jobs of one name are one
	mount   string
	m       *mounted
	path    string
	mode    prefetch.Mode // the least that must be allowed
	request bool          // it asks the origin
	do      func(ctx context.Context, j *job)

	queued time.Time
	ctx    context.Context
	cancel context.CancelFunc
}

func newAhead(s *Sidecar, policy *prefetch.Policy) *ahead {
	a := &ahead{s: s, learner: prefetch.NewLearner(prefetch.DefaultMemory, time.Now), ledger: prefetch.NewLedger(time.Now)}
	a.policy.Store(policy)
	a.metrics = prefetch.NewMetrics(a.ledger, a.learner)
	a.ctx, a.quit = context.WithCancel(context.Background())
	a.mu.known, a.mu.active, a.mu.requests = make(map[string]struct{}), make(map[*job]struct{}), make(map[*mounted]int)
	return a
}

// set puts a policy in force and gives up what it does not allow.
func (a *ahead) set(p *prefetch.Policy) {
	a.policy.Store(p)
	a.drop(func(j *job) bool { return p.Mode(j.mount, j.path) < j.mode })
}

// mode is what may be fetched ahead of a path.
func (a *ahead) mode(mount, path string) prefetch.Mode {
	p := a.policy.Load()
	if !p.Any() {
		return prefetch.Off
	}
	return p.Mode(mount, path)
}

// enqueue queues a job unless there is one of its name.
func (a *ahead) enqueue(j *job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.mu.known[j.name]; known || a.ctx.Err() != nil {
		return
	}
	if len(a.mu.queue) >= aheadQueue {
		a.metrics.Refused[prefetch.RefusedQueue].Add(1)
		return
	}
	j.queued = time.Now()
	j.ctx, j.cancel = context.WithCancel(a.ctx)
	a.mu.known[j.name] = struct{}{}
	a.mu.queue = append(a.mu.queue, j)
	if !a.mu.waiting || !j.request {
		a.hireLocked()
	}
}

// hireLocked starts a worker, unless there are as many as may be: one more than may ask an origin, for what asks none.
func (a *ahead) hireLocked() {
	if a.mu.workers <= a.policy.Load().Requests() {
		a.mu.workers++
		a.running.Go(a.work)
	}
}

// work does jobs until none can be done.
func (a *ahead) work() {
	for {
		j, wait := a.next()
		switch {
		case j != nil:
			a.do(j)
		case !wait:
			return
		default:
			t := time.NewTimer(aheadPoll)
			select {
			case <-t.C:
			case <-a.ctx.Done():
			}
			t.Stop()
			a.mu.Lock()
			a.mu.waiting = false
			a.mu.Unlock()
		}
	}
}

// next takes a job from the queue. Without one the worker is to wait, or to leave: it does not count any more then.
func (a *ahead) next() (j *job, wait bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.mu.queue
	kept := all[:0]
	for i, q := range all {
		switch {
		case a.ctx.Err() != nil:
			a.metrics.Cancelled[prefetch.CancelledStopped].Add(1)
			a.endLocked(q)
		case !q.request || a.roomLocked(q):
			a.mu.queue = append(kept, all[i+1:]...)
			clear(all[len(a.mu.queue):])
			a.takeLocked(q)
			return q, false
		case time.Since(q.queued) > aheadPatience:
			a.metrics.Refused[prefetch.RefusedReaders].Add(1)
			a.endLocked(q)
		default:
			kept = append(kept, q)
		}
	}
	clear(all[len(kept):])
	a.mu.queue = kept
	if len(kept) > 0 && !a.mu.waiting {
		a.mu.waiting = true
		return nil, true
	}
	a.mu.workers--
	return nil, false
}

// takeLocked notes that a job is being done, by a worker that has another look for what is left.
func (a *ahead) takeLocked(j *job) {
	a.mu.active[j] = struct{}{}
	if j.request {
		a.mu.requests[j.m]++
	}
	if len(a.mu.queue) > 0 && !a.mu.waiting {
		a.hireLocked()
	}
}

// roomLocked reports whether a job may ask its origin now: readers go first.
func (a *ahead) roomLocked(j *job) bool {
	all := 0
	for _, n := range a.mu.requests {
		all += n
	}
	return all < a.policy.Load().Requests() && idle(j.m.Origin, j.path, a.mu.requests[j.m])
}

// idle looks through what several origins are put together by, and then through the wrappers, for one that knows whether a request may be made that nobody
// waits for, beside so many others of that kind.
func idle(o origin.Origin, path string, others int) bool {
	for o != nil {
		if l, ok := o.(interface{ Idle(others int) bool }); ok {
			return l.Idle(others)
		}
		switch w := o.(type) {
		case interface {
			At(path string) (origin.Origin, string)
		}:
			o, path = w.At(path)
		case interface{ Unwrap() origin.Origin }:
			o = w.Unwrap()
		default:
			return true
		}
	}
	return true
}

// endLocked forgets a job.
func (a *ahead) endLocked(j *job) {
	j.cancel()
	delete(a.mu.known, j.name)
}

// do does a job. A panic costs what would have been had earlier.
func (a *ahead) do(j *job) {
	defer func() {
		if p := recover(); p != nil {
			a.s.opts.Logger.Error().Str("path", j.path).Interface("panic", p).Bytes("stack", debug.Stack()).Msg("a prefetch panicked; readers are not affected")
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.mu.active, j)
		if j.request {
			if a.mu.requests[j.m]--; a.mu.requests[j.m] == 0 {
				delete(a.mu.requests, j.m)
			}
		}
		a.endLocked(j)
	}()
	if j.ctx.Err() != nil || a.s.namespace.Load().mounts[j.mount] != j.m || a.mode(j.mount, j.path) < j.mode {
		a.metrics.Cancelled[prefetch.CancelledChanged].Add(1)
		return
	}
	j.do(j.ctx, j)
}

// drop gives up the jobs for which match is true, queued ones and those at work.
func (a *ahead) drop(match func(*job) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := a.mu.queue[:0]
	for _, j := range a.mu.queue {
		if match(j) {
			a.metrics.Cancelled[prefetch.CancelledChanged].Add(1)
			a.endLocked(j)
		} else {
			kept = append(kept, j)
		}
	}
	clear(a.mu.queue[len(kept):])
	a.mu.queue = kept
	for j := range a.mu.active {
		if match(j) {
			j.cancel()
		}
	}
}

// changed gives up what is about a path that was written, or is being written.
func (a *ahead) changed(m *mounted, path string) {
	a.drop(func(j *job) bool { return j.m == m && j.path == path })
}

// changedBelow is changed for all paths that begin with a prefix.
func (a *ahead) changedBelow(m *mounted, prefix string) {
	a.drop(func(j *job) bool { return j.m == m && strings.HasPrefix(j.path, prefix) })
}

// close gives up everything and waits for it. Nothing is fetched ahead from then on. It may be called twice.
func (a *ahead) close() {
	a.quit()
	a.mu.Lock()
	if a.mu.workers == 0 && len(a.mu.queue) > 0 {
		a.mu.workers++
		a.running.Go(a.work)
	}
	a.mu.Unlock()
	a.running.Wait()
}
