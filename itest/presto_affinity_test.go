package itest

import (
	"context"
	"fmt"
	"testing"

	"github.com/alio-lake/alio/affinity"
)

// The table whose splits are placed by the affinity service: its files' owners, who have some each.
type ownedTable struct {
	schema string
	owner  map[string]int // by key, which sidecar
	shares [2]float64     // of the files
}

// ownedBy asks the service who owns the files of a table.
func (c *prestoCluster) ownedBy(ctx context.Context, t *testing.T, name string) *ownedTable {
	t.Helper()
	var splits []affinity.SplitJSON
	for i := range clusterFiles {
		splits = append(splits, affinity.SplitJSON{Mount: "lake", Path: clusterKey(name, i)})
	}
	workers, err := c.service.Owners(ctx, splits)
	need(t, err)
	o := &ownedTable{schema: "s3a_" + name, owner: map[string]int{}}
	for i, w := range workers {
		for k := range c.workers {
			if w == c.workers[k] {
				o.owner[splits[i].Path] = k
				o.shares[k]++
			}
		}
	}
	return o
}

// owned reads a table by the catalog whose splits the affinity service places, and which without it has no preference: each worker opens the files that its sidecar owns, run after run, and
// repeated runs make no request for data.
func (c *prestoCluster) owned(ctx context.Context, t *testing.T, want []string) *ownedTable {
	t.Helper()
	need(t, c.service.Await(ctx, len(c.sidecars)))
	var o *ownedTable
	name := ""
	for i := 0; o == nil || min(o.shares[0], o.shares[1]) < 2; i++ { // a table of which each has some
		name = fmt.Sprint("owned", i)
		o = c.ownedBy(ctx, t, name)
	}
	c.table(ctx, t, name)
	const runs = 3
	for run := range runs {
		rows, cost, now := c.run(ctx, t, "owning", o.schema)
		same(t, fmt.Sprint("placed by the affinity service, run ", run+1), want, rows)
		c.opened(t, fmt.Sprint("run ", run+1), o.shares, now)
		if run == 0 && cost.DataGETs == 0 || run > 0 && cost.DataGETs+cost.HEADs > 0 {
			t.Errorf("placed by the affinity service, run %d: %v", run+1, cost)
		}
		for _, a := range c.sidecars {
			settled(ctx, t, a)
		}
	}
	bean, err := c.presto.MBean(ctx, 0, "io.alio:type=Affinity,name=alio")
	need(t, err)
	t.Logf("  the coordinator: %v", bean)
	if bean["AskedSplits"]+bean["WatchedSplits"] != runs*clusterFiles || bean["AskedSplits"] == 0 || bean["LeftSplits"]+bean["MissingWorkers"] > 0 || bean["Members"] != 2 {
		t.Errorf("%d splits were placed, and the coordinator counted %v", runs*clusterFiles, bean)
	}
	return o
}

// opened compares how many files each worker has opened, and that it read none past its sidecar.
func (c *prestoCluster) opened(t *testing.T, what string, want [2]float64, now [2]map[string]float64) {
	t.Helper()
	for i := range now {
		if now[i]["OpenedFiles"] != want[i] || now[i]["BypassedFiles"]+now[i]["BypassedReads"] > 0 {
			t.Errorf("%s: worker %d owns %.0f files: %v", what, i+1, want[i], now[i])
		}
	}
}

// moved takes worker 1 away, whose sidecar is gone already: its share alone moves, and is all that is read from the store. Both come back: so does its share, which its disk has.
func (c *prestoCluster) moved(ctx context.Context, t *testing.T, want []string, o *ownedTable) {
	t.Helper()
	c.presto.KillWorker(1)
	need(t, c.presto.AwaitWorkers(ctx, 1))
	need(t, c.service.Await(ctx, 1))
	rows, cost, now := c.run(ctx, t, "owning", o.schema)
	same(t, "with worker 1 and its sidecar gone", want, rows)
	c.opened(t, "with worker 1 and its sidecar gone", [2]float64{0, clusterFiles}, now)
	fetched := map[string]bool{}
	for _, e := range c.last {
		if !e.IsDataGET() {
			continue
		}
		if fetched[e.Key] = true; o.owner[e.Key] != 0 {
			t.Errorf("worker 2 owned %s before, and fetched it again", e.Key)
		}
	}
	if cost.DataGETs == 0 || float64(len(fetched)) != o.shares[0] {
		t.Errorf("worker 1 owned %.0f files, and this was fetched: %v", o.shares[0], fetched)
	}

	need(t, c.sidecars[0].Start(ctx))
	need(t, c.presto.StartWorker(1))
	need(t, c.presto.AwaitWorkers(ctx, 2))
	need(t, c.service.Await(ctx, 2))
	rows, cost, now = c.run(ctx, t, "owning", o.schema)
	same(t, "with worker 1 and its sidecar back", want, rows)
	c.opened(t, "with worker 1 and its sidecar back", o.shares, now)
	if cost.DataGETs > 0 || now[0]["LocalBytes"] == 0 {
		t.Errorf("with worker 1 and its sidecar back: %v; worker 1 %v", cost, now[0])
	}
}
