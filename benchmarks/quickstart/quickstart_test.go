package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// fakeStage answers as a stage would: it knows whether its cache was emptied.
type fakeStage struct {
	straight, cold, warm harness.Run
	cached               bool
	empties              int
	fail                 harness.Way
}

func (f *fakeStage) Query(_ context.Context, way harness.Way, _ string) (harness.Run, error) {
	switch {
	case way == f.fail:
		return harness.Run{}, errors.New("no such table")
	case way == harness.Straight:
		return f.straight, nil
	case f.cached:
		return f.warm, nil
	}
	f.cached = true
	return f.cold, nil
}

func (f *fakeStage) empty(context.Context) error {
	f.cached, f.empties = false, f.empties+1
	return nil
}

// good is a stage on which everything is as it must be.
func good() *fakeStage {
	rows := []string{"1", "2"}
	return &fakeStage{
		straight: harness.Run{Rows: rows, Elapsed: 500 * time.Millisecond, Origin: s3proxy.Summary{DataGETs: 4, LISTs: 1, BytesFetched: 1000}, Asked: 1000},
		cold:     harness.Run{Rows: []string{"2", "1"}, Elapsed: 600 * time.Millisecond, Origin: s3proxy.Summary{DataGETs: 3, LISTs: 1, BytesFetched: 1050}, Asked: 1000, Served: map[string]int64{"origin": 1000}},
		warm:     harness.Run{Rows: rows, Elapsed: 400 * time.Millisecond, Origin: s3proxy.Summary{LISTs: 1}, Asked: 1000, Served: map[string]int64{"disk": 900, "memory": 100}},
	}
}

func reportOf(t *testing.T, f *fakeStage, inSet bool) report {
	t.Helper()
	r, err := measure(context.Background(), f, f.empty, query{name: "q", text: "x", inSet: inSet}, 3)
	if err != nil {
		t.Fatal(err)
	}
	return newReport([]result{r}, 3, 20*time.Millisecond)
}

// What is as it must be passes, with the figures that the RESULT line needs.
func TestGoodRunPasses(t *testing.T) {
	f := good()
	rep := reportOf(t, f, true)
	if !rep.OK || f.empties != 3 {
		t.Fatalf("failures %q, cache emptied %d times", rep.Failures, f.empties)
	}
	line, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"queries": 1.0, "rows_equal": true, "straight_seconds": .5, "cold_seconds": .6, "warm_seconds": .4,
		"straight_gets": 4.0, "cold_gets": 3.0, "warm_gets": 0.0, "warm_heads": 0.0, "bytes_asked": 1000.0, "bytes_fetched_cold": 1050.0, "over_read": 1.05} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	n := rep.PerQuery[0]
	if n.WarmHitRatio != 1 || n.SavedOverBound < 1.24 || n.SavedOverBound > 1.26 { // 0.1 s saved of 4 x 20 ms
		t.Errorf("hit ratio %v, saved over bound %v", n.WarmHitRatio, n.SavedOverBound)
	}
}

// Each thing that must not be is a failure that says what, where, and how much.
func TestFaultsFail(t *testing.T) {
	for want, spoil := range map[string]func(*fakeStage){
		"q, cold, round 1: rows differ":              func(f *fakeStage) { f.cold.Rows = []string{"1", "3"} },
		"q, warm, round 3: 1 rows, want 2":           func(f *fakeStage) { f.warm.Rows = []string{"1"} },
		"both answers are empty":                     func(f *fakeStage) { f.straight.Rows, f.cold.Rows, f.warm.Rows = nil, nil, nil },
		"made 2 data GETs when warm":                 func(f *fakeStage) { f.warm.Origin.DataGETs = 2 },
		"made 1 HEADs when warm":                     func(f *fakeStage) { f.warm.Origin.HEADs = 1 },
		"5 data GETs when cold, 4 straight":          func(f *fakeStage) { f.cold.Origin.DataGETs = 5 },
		"fetched 1.11 times the bytes asked":         func(f *fakeStage) { f.cold.Origin.BytesFetched = 1110 },
		"asked for 0 bytes and made 4 data GETs":     func(f *fakeStage) { f.cold.Asked = 0 },
		"asked for 1000 bytes and made 0 data GETs ": func(f *fakeStage) { f.straight.Origin.DataGETs = 0 },
	} {
		for _, inSet := range []bool{true, false} {
			f := good()
			spoil(f)
			rep := reportOf(t, f, inSet)
			if rep.OK || !strings.Contains(strings.Join(rep.Failures, "\n"), want) {
				t.Errorf("in the set %v: want a failure %q, got %q", inSet, want, rep.Failures)
			}
		}
	}
}

// A query that fails is an error that names the query and the way.
func TestFailedQueryNamesItself(t *testing.T) {
	f := good()
	f.fail = harness.Through
	_, err := measure(context.Background(), f, f.empty, query{name: "q", text: "x"}, 1)
	if err == nil || !strings.Contains(err.Error(), "q, cold: no such table") {
		t.Errorf("got %v", err)
	}
}

// The report that is kept holds the table and the figures under a name of its own.
func TestSave(t *testing.T) {
	rep := reportOf(t, good(), true)
	dir := filepath.Join(t.TempDir(), "results")
	if err := save(dir, "abc123", rep.table()+rep.legend(), rep); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "quickstart-*-abc123.md"))
	if len(files) != 1 {
		t.Fatalf("files: %q", files)
	}
	b, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(b), `"over_read": 1.05`) || !strings.Contains(string(b), "0.50 / 0.60 / 0.40") {
		t.Errorf("%v\n%s", err, b)
	}
}
