package itest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// outageRuns is how often each way to lose a sidecar is tried: once, which is what CI has time for, or ALIO_OUTAGES times.
func outageRuns(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ALIO_OUTAGES")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ALIO_OUTAGES=%q is no number of runs", text)
	}
	return n
}

// outages takes the sidecar away in the middle of queries, in each way that a process can go. No query may wait for it longer than until the breaker opens,
// however it goes: they are printed beside the stock connector's, and what was counted is what Trino's own jmx connector shows.
func (s *bridgeStage) outages(ctx context.Context, t *testing.T, text string) {
	runs := outageRuns(t)
	want := s.rows(ctx, t, "hive", text)
	for _, way := range []outage{
		{name: "kill -9", take: func(t *testing.T) { s.alio.Kill() }, giveBack: func() error { return s.alio.Start(ctx) }},
		{name: "hung", take: func(t *testing.T) { s.signal(t, syscall.SIGSTOP) }, giveBack: func() error { return syscall.Kill(s.alio.PID(), syscall.SIGCONT) }},
		{name: "restart", again: true, take: func(t *testing.T) {
			s.alio.Kill()
			if err := s.alio.Start(ctx); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			shown := s.jmx(ctx, t, "client", "bypassedreads")
			var took, whole, stock []time.Duration
			var late, bypassed []int64
			for range runs {
				begun := time.Now()
				same(t, "the stock connector", want, s.rows(ctx, t, "hive", text))
				stock = append(stock, time.Since(begun)) // each beside its own, since a machine has good and bad minutes
				l := s.lost(ctx, t, text, want, way)
				took, whole, late, bypassed = append(took, l.after), append(whole, l.whole), append(late, l.late), append(bypassed, l.bypassed)
			}
			t.Logf("%s, %d queries: whole %s, of which without the sidecar %s; by the stock connector %s; reads that went past it %d to %d, late calls %d to %d", way.name, runs,
				spread(whole), spread(took), spread(stock), slices.Min(bypassed), slices.Max(bypassed), slices.Min(late), slices.Max(late))
			if now := s.jmx(ctx, t, "client", "bypassedreads"); !way.again && now <= shown {
				t.Errorf("Trino's jmx connector shows %d bypassed reads, %d before", now, shown)
			}
		})
	}
}

// spread words some durations.
func spread(d []time.Duration) string {
	d = slices.Sorted(slices.Values(d))
	return fmt.Sprintf("median %.2f s, slowest %.2f s", d[len(d)/2].Seconds(), d[len(d)-1].Seconds())
}

// jmx is a counter as docs/trino.md tells an operator to look at it, by Trino's own connector.
func (s *bridgeStage) jmx(ctx context.Context, t *testing.T, kind, column string) int64 {
	t.Helper()
	rows := s.rows(ctx, t, "jmx", fmt.Sprintf(`SELECT %s FROM jmx.current."io.alio:type=%s,name=lost"`, column, kind))
	if len(rows) != 1 {
		t.Fatalf("%s of one node: %v", column, rows)
	}
	n, err := strconv.ParseInt(rows[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cold empties the sidecar's cache, and has the bridge know it: what it holds of removed segments it could read still.
func (s *bridgeStage) cold(ctx context.Context, t *testing.T) {
	t.Helper()
	before := s.client(ctx, t, "lost")["Forgets"]
	if err := s.alio.Cold(ctx); err != nil {
		t.Fatal(err)
	}
	s.until(ctx, t, "forget what it knew", func() bool { return s.client(ctx, t, "lost")["Forgets"] > before })
}

// answers waits until the bridge reads through the sidecar.
func (s *bridgeStage) answers(ctx context.Context, t *testing.T) {
	t.Helper()
	before := s.client(ctx, t, "lost")["AnsweredCalls"]
	s.until(ctx, t, "come back to the sidecar", func() bool {
		c := s.client(ctx, t, "lost")
		return c["AnsweredCalls"] > before && c["BreakerOpen"] == 0
	})
}

// until reads one small file through the bridge until something is so. Reads that are made locally are told to the sidecar every other second, which is when
// the bridge learns of it.
func (s *bridgeStage) until(ctx context.Context, t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(limit) {
			t.Fatalf("the bridge did not %s: %v", what, s.client(ctx, t, "lost"))
		}
		s.rows(ctx, t, "lost", "SELECT word FROM ${database}.${schema}.probe")
		<-tick.C
	}
}

func (s *bridgeStage) signal(t *testing.T, sig syscall.Signal) {
	if err := syscall.Kill(s.alio.PID(), sig); err != nil {
		t.Error(err)
	}
}

// outage is a way to lose the sidecar.
type outage struct {
	name     string
	take     func(t *testing.T)
	giveBack func() error // nil: take does
	again    bool         // whether it is there again when the query goes on: reads may go through it
}

// loss is what a query that lost its sidecar took.
type loss struct {
	whole, after   time.Duration // from its start, and from when the sidecar was lost
	late, bypassed int64
}

// hold has one read of the sidecar's hang at the store, and tells when it does: not one of Trino's own, and not the one of the file's end, which opens the file.
func (s *bridgeStage) hold() (held <-chan string, remove func()) {
	path := make(chan string, 1)
	remove = s.origin.Inject(s3proxy.Rule{Fault: s3proxy.Hang(), Times: 1, Match: func(r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/tables/store_sales/") || !strings.Contains(r.UserAgent(), "aws-sdk-go") ||
			strings.HasPrefix(r.Header.Get("Range"), "bytes=-") {
			return false
		}
		select {
		case path <- r.URL.Path:
		default:
		}
		return true
	}})
	return path, remove
}

// lost takes the sidecar away with a read in its hands; the query ends with the right rows, by Trino's own file system, having waited for the sidecar
// no longer than for the calls that were under way; what went past it is counted; and when it is back, the bridge reads through it again.
func (s *bridgeStage) lost(ctx context.Context, t *testing.T, text string, want []string, way outage) loss {
	t.Helper()
	s.answers(ctx, t)
	s.cold(ctx, t)
	before := s.client(ctx, t, "lost")
	held, remove := s.hold()
	defer remove()
	type answer struct {
		rows []string
		err  error
	}
	done := make(chan answer, 1)
	db := s.db(t, "lost")
	begun := time.Now()
	go func() {
		rows, err := harness.Rows(ctx, db, harness.In(text, "lost", "tiny"))
		done <- answer{rows, err}
	}()
	select {
	case <-held:
	case a := <-done:
		t.Fatalf("the query ended before it read store_sales: %d rows, %v", len(a.rows), a.err)
	}
	gone := time.Now()
	way.take(t)
	a := <-done
	l := loss{whole: time.Since(begun), after: time.Since(gone)}
	after := s.client(ctx, t, "lost")
	if way.giveBack != nil {
		a.err = errors.Join(a.err, way.giveBack())
	}
	if a.err != nil {
		t.Fatalf("the query that lost its sidecar failed: %v", a.err)
	}
	same(t, "the query that lost its sidecar", want, a.rows)
	change := map[string]int64{}
	for k, v := range after {
		if v != before[k] {
			change[k] = v - before[k]
		}
	}
	l.late, l.bypassed = change["LateCalls"], change["BypassedReads"]
	t.Logf("the query went on for %.1f s without the sidecar: %v", l.after.Seconds(), change)
	if !way.again && (change["BypassedReads"] == 0 || change["BypassedBytes"] == 0) {
		t.Errorf("no read was counted as bypassed: %v", change)
	}
	if l.late > 6 || l.after > 25*time.Second { // those that were under way, one for each thread
		t.Errorf("%d calls waited for a sidecar that was gone, and the query %v", l.late, l.after)
	}
	s.answers(ctx, t)
	same(t, "after the sidecar came back", want, s.rows(ctx, t, "lost", text))
	return l
}
