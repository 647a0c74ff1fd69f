package itest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// prestoRounds is how often each fault is made: twice, or ALIO_PRESTO_ROUNDS.
func prestoRounds(t *testing.T) int {
	v := os.Getenv("ALIO_PRESTO_ROUNDS")
	if v == "" {
		return 2
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

// lateCalls is how many calls of one query may wait for a sidecar that is gone: those that are under way at that moment, one for each of the worker's threads.
const lateCalls = 12

// midQuery kills, stops and restarts the sidecar in the middle of queries: the store is made to hang on one data request of the sidecar's, so
// that it happens while a read is under way for certain, in turn one that opens a file and one of a file that is open. Every query gives its rows; what went
// past the sidecar is counted; and with the sidecar back, the bridge reads through it again.
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
	took := map[string][]time.Duration{}
	for i := range prestoRounds(t) {
		copied := fmt.Sprintf("well%d", i)
		s.copyTables(ctx, t, copied)
		begun := time.Now()
		s.rows(ctx, t, text, "alio", "s3a_"+copied)
		took["undisturbed"] = append(took["undisturbed"], time.Since(begun))
		for _, f := range faults {
			copied := fmt.Sprintf("%s%d", f.name, i)
			s.copyTables(ctx, t, copied)
			before := s.counters(ctx, t, "alio")
			rows, all, since := s.disturbed(ctx, t, text, copied, i%2 == 0, f.make)
			f.after()
			after := s.counters(ctx, t, "alio")
			change := func(name string) float64 { return after[name] - before[name] }
			took[f.name] = append(took[f.name], all)
			t.Logf("  %s: %d rows, %.1f s, %.1f of it after the fault; past the sidecar %.0f files, and %.0f reads of %.0f bytes; calls: %.0f late, %.0f unreached, %.0f not tried", f.name, len(rows),
				all.Seconds(), since.Seconds(), change("BypassedFiles"), change("BypassedReads"), change("BypassedBytes"), change("LateCalls"), change("UnreachedCalls"), change("NotTriedCalls"))
			same(t, f.name+" in a query", want, rows)
			if change("BypassedFiles")+change("BypassedReads") == 0 && f.name != "restart" {
				t.Errorf("%s in a query: nothing was counted that went past the sidecar", f.name)
			}
			if change("LateCalls") > lateCalls {
				t.Errorf("%s in a query: %.0f calls waited for a sidecar that was gone", f.name, change("LateCalls"))
			}
			s.settle(ctx, t, copied)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(took)) {
		all := took[name]
		slices.Sort(all)
		t.Logf("  %s: %d queries with the right rows; median %.1f s, slowest %.1f s", name, len(all), all[len(all)/2].Seconds(), all[len(all)-1].Seconds())
	}
	if worst := slices.Max(slices.Concat(took["kill"], took["stop"], took["restart"])); worst > slices.Max(took["undisturbed"])+25*time.Second {
		t.Errorf("a query took %v when the sidecar was lost; undisturbed ones %v", worst, took["undisturbed"])
	}
}

// disturbed runs a query of the bridge over a copy of the tables, and fault while the sidecar reads of it: a file's end, which opens the file, or what comes
// after. It tells how long the query took, and how long from the fault.
func (s *prestoStage) disturbed(ctx context.Context, t *testing.T, text, copied string, opening bool, fault func()) (rows []string, all, since time.Duration) {
	t.Helper()
	held := make(chan struct{}, 1)
	remove := s.origin.Inject(s3proxy.Rule{Fault: s3proxy.Hang(), Times: 1, Match: func(r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/"+copied+"/store_sales/") || !strings.Contains(r.UserAgent(), "aws-sdk-go") ||
			opening != strings.HasPrefix(r.Header.Get("Range"), "bytes=-") {
			return false
		}
		held <- struct{}{} // once, by the rule
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
		t.Fatalf("the query ended before the sidecar read store_sales: %d rows, %v", len(a.rows), a.err)
	}
	at := time.Now()
	fault()
	a := <-done
	if a.err != nil {
		t.Errorf("the disturbed query failed: %v", a.err) // and no more than that: the fault is to be undone
	}
	return a.rows, time.Since(begun), time.Since(at)
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

// lostBetween runs queries while the sidecar is hung, and is dead: the rows are the same, what the bridge does not know is read by Presto's own file system and
// counted, and what it does know comes from the segments even then. Alive again, the sidecar serves again.
func (s *prestoStage) lostBetween(ctx context.Context, t *testing.T, text string) {
	want, _ := s.rows(ctx, t, text, "stock", "s3_q43")
	past := func(what, schema string) float64 {
		t.Helper()
		before := s.counters(ctx, t, "alio")
		got, _ := s.rows(ctx, t, text, "alio", schema)
		after := s.counters(ctx, t, "alio")
		same(t, what, want, got)
		return after["BypassedFiles"] + after["BypassedReads"] - before["BypassedFiles"] - before["BypassedReads"]
	}
	s.copyTables(ctx, t, "unknown")
	need(t, syscall.Kill(s.alio.PID(), syscall.SIGSTOP))
	if n := past("a hung sidecar", "s3a_unknown"); n == 0 {
		t.Error("a hung sidecar: nothing was counted that went past it")
	}
	need(t, syscall.Kill(s.alio.PID(), syscall.SIGCONT))
	s.settle(ctx, t, "unknown")
	s.copyTables(ctx, t, "kept1")
	for !s.warm(ctx, t, text, "s3a_kept1") && ctx.Err() == nil {
	}
	s.alio.Kill()
	if n := past("a dead sidecar", "s3a_kept1"); n > 0 {
		t.Errorf("a dead sidecar: %.0f files and reads were bypassed of what lies in segments, and is believed for an hour", n)
	}
	need(t, s.alio.Start(ctx))
	s.settle(ctx, t, "kept1")
}

// warm runs a query by the bridge until nothing of it is read from the store, and tells whether all of it came from segments then. That is not so of a page
// which was damaged on disk while the sidecar has it in memory: from there it is served, and its place on disk is not looked at.
func (s *prestoStage) warm(ctx context.Context, t *testing.T, text, schema string) (local bool) {
	t.Helper()
	for begun := time.Now(); ; {
		before := s.counters(ctx, t, "alio")
		_, cost := s.rows(ctx, t, text, "alio", schema)
		after := s.counters(ctx, t, "alio")
		if cost.DataGETs == 0 && after["LocalBytes"] > before["LocalBytes"] {
			return after["LocalBytes"]-before["LocalBytes"] == after["ReadBytes"]-before["ReadBytes"]
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("a repeated query is not read from segments: %v, then %v", before, after)
		}
	}
}

// damaged changes and then removes the segments from under the bridge's open files. Nothing of that is in any answer: it is counted, read from the sidecar, which
// finds it out too and asks the store, and one warning says what to look at.
func (s *prestoStage) damaged(ctx context.Context, t *testing.T, text string) {
	want, _ := s.rows(ctx, t, text, "stock", "s3_q43")
	s.copyTables(ctx, t, "kept2")
	flip := func(f *os.File, size int64) error {
		const header = 64
		b := make([]byte, size-header)
		if _, err := f.ReadAt(b, header); err != nil {
			return err
		}
		for i := range b {
			b[i] ^= 0xff
		}
		_, err := f.WriteAt(b, header)
		return err
	}
	vanish := func(f *os.File, _ int64) error { // as when the sidecar punches what it has removed
		if err := f.Truncate(0); err != nil {
			return err
		}
		return os.Remove(f.Name())
	}
	for _, how := range []struct {
		name string
		do   func(f *os.File, size int64) error
	}{{"every byte changed", flip}, {"emptied and removed", vanish}} {
		s.warm(ctx, t, text, "s3a_kept2")
		n := s.eachSegment(t, how.do)
		before := s.counters(ctx, t, "alio")
		got, cost := s.rows(ctx, t, text, "alio", "s3a_kept2")
		after := s.counters(ctx, t, "alio")
		same(t, "segments with "+how.name, want, got)
		bad := after["DamagedPages"] + after["RetiredPages"] - before["DamagedPages"] - before["RetiredPages"]
		t.Logf("  %d segments, %s: %.0f pages were found out, %.0f bytes sent by the sidecar instead, %.0f read past it; %d data GETs", n, how.name, bad,
			after["SidecarBytes"]-before["SidecarBytes"], after["BypassedBytes"]-before["BypassedBytes"], cost.DataGETs)
		if bad == 0 || cost.DataGETs == 0 || after["SidecarBytes"] == before["SidecarBytes"] {
			t.Errorf("segments with %s: nothing was found out, before %v, after %v, and %d data GETs", how.name, before, after, cost.DataGETs)
		}
	}
	s.warned(t, s.alio.CacheDir, "does not hold its sums", "look at the device")
}

// eachSegment does something to each of the sidecar's segments and says how many there are.
func (s *prestoStage) eachSegment(t *testing.T, do func(f *os.File, size int64) error) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.alio.CacheDir, "segments", "*"))
	need(t, err)
	if len(found) == 0 {
		t.Fatalf("no segment in %s", s.alio.CacheDir)
	}
	for _, name := range found {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		need(t, err)
		st, err := f.Stat()
		need(t, err)
		need(t, do(f, st.Size()))
		need(t, f.Close())
	}
	return len(found)
}
