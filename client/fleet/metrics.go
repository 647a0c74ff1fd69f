package fleet

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are the metrics.
type counts struct {
	owner, standby, failed, fallback atomic.Uint64
}

func newCounts() *counts { return &counts{} }

// asked counts the answer of the i-th of a section's owners.
func (c *counts) asked(i int, err error) {
	switch {
	case err != nil && passed(err):
		c.failed.Add(1)
	case i == 0:
		c.owner.Add(1)
	default:
		c.standby.Add(1)
	}
}

var readsDesc = prometheus.NewDesc("alio_fleet_answers_total", "Opens and reads of files, by who answered: the section's owner, another of its owners, the fallback; "+
	"failed: a member that was asked and could not", []string{"by"}, nil)

// Describe implements prometheus.Collector.
func (c *counts) Describe(ch chan<- *prometheus.Desc) { ch <- readsDesc }

// Collect implements prometheus.Collector.
func (c *counts) Collect(ch chan<- prometheus.Metric) {
	for by, n := range map[string]*atomic.Uint64{"owner": &c.owner, "standby": &c.standby, "failed": &c.failed, "fallback": &c.fallback} {
		ch <- prometheus.MustNewConstMetric(readsDesc, prometheus.CounterValue, float64(n.Load()), by)
	}
}
