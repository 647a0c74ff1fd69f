package itest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// The lean real-Trino test: at most four tables and a few queries, so that it fits into a run on two cores. benchmarks/quickstart
// is the wide one, with times.
var (
	trinoTables  = []string{"store_sales", "date_dim", "item", "store"}
	trinoQueries = []string{"q28", "q43", "q55", "q65"} // few rows each, below their LIMIT: no ties are cut
)

const twoColumns = "SELECT sum(ss_quantity), sum(ss_net_paid) FROM ${database}.${schema}.store_sales"

// trinoDeadline bounds the whole test; a hung query fails by it instead of by the test binary's timeout, with the servers' output.
const trinoDeadline = 20 * time.Minute

// TestTrino is all that is shown on one Trino, since to start one takes as long as a dozen of these tests: reads through the S3 door, through the bridge, and through the
// bridge on a coordinator with two workers, which join at the end.
func TestTrino(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), trinoDeadline+time.Duration(3*outageRuns(t))*20*time.Second)
	defer cancel()
	texts, err := harness.TPCDS(ctx, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{"2-columns": twoColumns}
	for _, name := range trinoQueries {
		queries[name] = texts[name]
	}
	bridge := &bridgeStage{hdfs: harness.NewHDFS(t, harness.HDFSOptions{BlockSize: 1 << 20})}
	mounts, others := elsewhere(t, bridge.hdfs)
	stage, err := harness.StartStage(ctx, harness.StageOptions{Dir: t.TempDir(), Tables: trinoTables, Latency: 10 * time.Millisecond, Seed: 1, Mounts: mounts, Logf: t.Logf,
		Trino: func(stage *harness.Stage) (harness.TrinoOptions, error) { return bridge.before(ctx, t, stage) }})
	if err != nil {
		t.Fatal(err)
	}
	bridge.trino = stage.Trino
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Trino's warnings: %q", bridge.warnings(t, "alio"))
			t.Log(stage.Output())
		}
		stage.Stop()
	})
	t.Run("door", func(t *testing.T) {
		t.Run("same rows three ways", func(t *testing.T) { sameRowsThreeWays(ctx, t, stage, queries) })
		t.Run("kill -9 in a query", func(t *testing.T) { killInQuery(ctx, t, stage, queries["q65"]) })
		t.Run("same rows afterwards", func(t *testing.T) { sameRowsThreeWays(ctx, t, stage, map[string]string{"q43": queries["q43"]}) })
	})
	t.Run("bridge", func(t *testing.T) { bridge.throughBridge(ctx, t, queries) })
	t.Run("other origins", func(t *testing.T) { // after the bridge: it adds to the tables
		otherOrigins(ctx, t, stage, others, map[string]string{"q43": queries["q43"], "q65": queries["q65"]})
	})
	t.Run("cluster", func(t *testing.T) { bridge.cluster(ctx, t) })
}

// Every query gives the rows that Trino gets without Alio; with an empty cache it makes no more data requests and fetches at most
// 1.10 times what was asked for; repeated, it makes no data request and no HEAD.
func sameRowsThreeWays(ctx context.Context, t *testing.T, s *harness.Stage, queries map[string]string) {
	run := func(way harness.Way, text string) harness.Run {
		t.Helper()
		r, err := s.Query(ctx, way, text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		text := queries[name]
		straight := run(harness.Straight, text)
		if err := s.Alio.Cold(ctx); err != nil {
			t.Fatal(err)
		}
		cold := run(harness.Through, text)
		warm := run(harness.Through, text)
		t.Logf("%s: %d rows; straight %v; cold %v, asked %d; warm %v, served %v", name, len(straight.Rows), straight.Origin, cold.Origin, cold.Asked, warm.Origin, warm.Served)
		for label, r := range map[string]harness.Run{"cold": cold, "warm": warm} {
			if err := harness.SameRows(straight.Rows, r.Rows); err != nil {
				t.Errorf("%s, %s: %v", name, label, err)
			}
		}
		if straight.Origin.DataGETs == 0 || cold.Asked == 0 {
			t.Errorf("%s measured nothing: %d data GETs straight, %d bytes asked", name, straight.Origin.DataGETs, cold.Asked)
		}
		if cold.Origin.DataGETs > straight.Origin.DataGETs {
			t.Errorf("%s: %d data GETs when cold, %d straight", name, cold.Origin.DataGETs, straight.Origin.DataGETs)
		}
		if over := float64(cold.Origin.BytesFetched) / float64(cold.Asked); over > 1.10 {
			t.Errorf("%s: %d bytes fetched for %d asked, %.3f times; the limit is 1.10", name, cold.Origin.BytesFetched, cold.Asked, over)
		}
		if m, err := s.Alio.Metrics(ctx); err != nil || m[`alio_freshness_confirmations_total{by="listing"}`] == 0 {
			t.Errorf("%s: no listing of Trino's confirmed a version (%v): it was not served by the sidecar but sent on", name, err)
		}
		if warm.Origin.DataGETs > 0 || warm.Origin.HEADs > 0 {
			t.Errorf("%s: %d data GETs and %d HEADs when warm; there must be none", name, warm.Origin.DataGETs, warm.Origin.HEADs)
		}
	}
}

// A sidecar that is killed with a read in its hands and started again at once costs the query nothing but time: Trino's own S3
// client asks again. The store is made to hang on one data request, so that the kill falls into a read for certain.
func killInQuery(ctx context.Context, t *testing.T, s *harness.Stage, text string) {
	want, err := s.Query(ctx, harness.Straight, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Alio.Cold(ctx); err != nil {
		t.Fatal(err)
	}
	held := make(chan string, 1)
	remove := s.Origin.Inject(s3proxy.Rule{Fault: s3proxy.Hang(), Times: 1, Match: func(r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/tables/store_sales/") {
			return false
		}
		select {
		case held <- r.URL.Path:
		default:
		}
		return true
	}})
	defer remove()
	type answer struct {
		rows []string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		rows, err := s.Rows(ctx, harness.Direct, text)
		done <- answer{rows, err}
	}()
	select {
	case <-held:
	case a := <-done:
		t.Fatalf("the query ended before it read store_sales: %d rows, %v", len(a.rows), a.err)
	}
	killed, at := s.Alio.PID(), time.Now()
	s.Alio.Kill()
	if err := s.Alio.Start(ctx); err != nil {
		t.Fatalf("start after kill -9: %v", err)
	}
	a := <-done
	if a.err != nil {
		t.Fatalf("the query that ran during kill -9 failed: %v", a.err)
	}
	if err := harness.SameRows(want.Rows, a.rows); err != nil {
		t.Errorf("the query that ran during kill -9: %v", err)
	}
	if s.Alio.PID() == killed {
		t.Errorf("the sidecar still has process id %d: it was not killed", killed)
	}
	after := slices.ContainsFunc(s.Origin.Log(), func(e s3proxy.Entry) bool { return e.IsDataGET() && e.Time.After(at) })
	if !after {
		t.Error("no data request reached the store after the kill: the query did not go through the restarted sidecar")
	}
}
