package itest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// prestoRounds is how often each fault is made: once, or ALIO_PRESTO_ROUNDS.
func prestoRounds(t *testing.T) int {
	v := os.Getenv("ALIO_PRESTO_ROUNDS")
	if v == "" {
		return 1
	}
	n, err := strconv.Atoi(v)
	need(t, err)
	return n
}

// prestoControl is the bridge's alio.control.ms: so long that a busy machine makes no call late, or ALIO_PRESTO_CONTROL_MS.
func prestoControl() string {
	if v := os.Getenv("ALIO_PRESTO_CONTROL_MS"); v != "" {
		return v
	}
	return "2000"
}

// midQuery kills, stops and restarts the sidecar in the middle of queries: the store is made to hang on one data request of the sidecar's, so
// that it happens while a read is under way for certain. Every query gives its rows.
func (s *prestoStage) midQuery(ctx context.Context, t *testing.T, text string) {
	want, _ := s.rows(ctx, t, text, "stock", "s3_q43")
	faults := []struct {
		name        string
		make, after func()
	}{
		{"kill", s.alio.Kill, func() { need(t, s.alio.Start(ctx)) }},
		{"stop", func() { need(t, syscall.Kill(s.alio.PID(), syscall.SIGSTOP)) }, func() { need(t, syscall.Kill(s.alio.PID(), syscall.SIGCONT)) }},
		{"restart", func() { s.alio.Kill(); need(t, s.alio.Start(ctx)) }, func() {}},
	}
	for i := range prestoRounds(t) {
		for _, f := range faults {
			copied := f.name + strconv.Itoa(i)
			s.copyTables(ctx, t, copied)
			before := s.counters(ctx, t, "alio")
			rows, took := s.disturbed(ctx, t, text, copied, f.make)
			f.after()
			all := s.counters(ctx, t, "alio")
			past := all["BypassedBytes"] - before["BypassedBytes"]
			t.Logf("  %s: %d rows, %.1f s; %.0f bytes and %.0f files past the sidecar", f.name, len(rows), took.Seconds(), past, all["BypassedFiles"]-before["BypassedFiles"])
			if err := harness.SameRows(want, rows); err != nil {
				t.Errorf("%s in a query: %v", f.name, err)
			}
			if past == 0 && f.name != "restart" {
				t.Errorf("%s in a query: no byte was read past the sidecar", f.name)
			}
			s.settle(ctx, t, copied)
		}
	}
}

// disturbed runs a query of the bridge over a copy of the tables, and fault while the sidecar reads of it.
func (s *prestoStage) disturbed(ctx context.Context, t *testing.T, text, copied string, fault func()) ([]string, time.Duration) {
	t.Helper()
	held := make(chan struct{}, 1)
	remove := s.origin.Inject(s3proxy.Rule{Fault: s3proxy.Hang(), Times: 1, Match: func(r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/"+copied+"/store_sales/") {
			return false
		}
		select {
		case held <- struct{}{}:
		default:
		}
		return true
	}})
	defer remove()
	type answer struct {
		rows []string
		err  error
	}
	done, begun := make(chan answer, 1), time.Now()
	go func() {
		rows, err := s.presto.Query(ctx, harness.In(text, "alio", "s3a_"+copied))
		done <- answer{rows, err}
	}()
	select {
	case <-held:
	case a := <-done:
		t.Fatalf("the query ended before it read store_sales: %d rows, %v", len(a.rows), a.err)
	}
	fault()
	a := <-done
	if a.err != nil {
		t.Fatalf("the disturbed query failed: %v", a.err)
	}
	return a.rows, time.Since(begun)
}

// settle waits until the bridge calls the sidecar again, by reading files that it does not know: its breaker opens at faults, and tries every
// two seconds at most.
func (s *prestoStage) settle(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for begun, i := time.Now(), 0; ; i++ {
		copied := fmt.Sprintf("%s_%d", name, i)
		s.copyTables(ctx, t, copied, "store")
		before := s.counters(ctx, t, "alio")
		s.rows(ctx, t, "SELECT s_store_id FROM ${database}.${schema}.store", "alio", "s3a_"+copied)
		if after := s.counters(ctx, t, "alio"); after["OpenedFiles"] > before["OpenedFiles"] && after["BypassedBytes"] == before["BypassedBytes"] {
			return
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatal("the bridge does not call the sidecar again")
		}
		<-tick.C
	}
}
