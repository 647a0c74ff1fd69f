package main

import (
	"context"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/alio-lake/alio/sidecar"
)

// status is what /status prints. Sizes are bytes and times seconds, as in the metrics; a name tells what it counts.
type status struct {
	Build         build          `json:"build"`
	Started       time.Time      `json:"started"`
	UptimeSeconds float64        `json:"uptime_seconds"`
	Ready         bool           `json:"ready"`
	NotReady      string         `json:"not_ready,omitempty"`
	Addresses     addresses      `json:"addresses"`
	Reads         reads          `json:"reads"`
	Cache         any            `json:"cache"`
	Disk          any            `json:"disk,omitempty"`     // absent: memory only
	Devices       []any          `json:"devices,omitempty"`  // of which disk is the sum
	Metadata      any            `json:"metadata,omitempty"` // absent: kept in memory only
	Sidecar       sidecar.Status `json:"sidecar"`
	Mounts        []mountState   `json:"mounts"`
	Affinity      *fleetStatus   `json:"affinity,omitempty"` // absent: the sidecar belongs to no fleet
	Peers         *peersStatus   `json:"peers,omitempty"`    // absent: it asks no other sidecar
	Reload        *reloadReport  `json:"reload,omitempty"`   // the last one; absent: there was none
}

// reads is what clients were served since the start, in bytes.
type reads struct {
	Requested int64            `json:"requested_bytes"`
	Served    map[string]int64 `json:"served_bytes"` // by source: memory, disk, peer (another sidecar), origin
	HitRatio  float64          `json:"hit_ratio"`    // share of served bytes that came from this sidecar's memory or disk, or from a peer: all that the origin was not asked for; 0 before the first read
}

// readFigures takes the figures from the metrics, where first reads (which pass the page cache by) are counted too.
func (p *parts) readFigures() reads {
	r := reads{Served: map[string]int64{}}
	families, err := p.registry.Gather()
	if err != nil {
		p.log.Warn().Err(err).Msg("some metrics could not be gathered; the status page shows the others")
	}
	var all int64
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "alio_read_requested_bytes_total":
				r.Requested = int64(m.GetCounter().GetValue())
			case "alio_read_served_bytes_total":
				n := int64(m.GetCounter().GetValue())
				r.Served[m.GetLabel()[0].GetValue()] = n
				all += n
			}
		}
	}
	if all > 0 {
		r.HitRatio = 1 - float64(r.Served["origin"])/float64(all)
	}
	return r
}

func (p *parts) status() any {
	s := status{
		Build: thisBuild(), Started: p.state.started.UTC().Truncate(time.Second), UptimeSeconds: time.Since(p.state.started).Seconds(),
		Addresses: *p.state.addresses.Load(), Reads: p.readFigures(), Cache: snake(reflect.ValueOf(p.cache.Stats())), Sidecar: p.sidecar.Status(),
		Mounts: p.mountStates(context.Background(), false), Affinity: p.fleet.status(), Peers: p.peersStatus(), Reload: p.lastReload(),
	}
	if err := p.state.notReady(); err != nil {
		s.NotReady = err.Error()
	}
	s.Ready = s.NotReady == ""
	if p.metadata != nil {
		s.Metadata = snake(reflect.ValueOf(p.metadata.Stats()))
	}
	if p.tier != nil {
		s.Disk = snake(reflect.ValueOf(p.tier.Stats()))
		for _, d := range p.tier.Devices() {
			s.Devices = append(s.Devices, snake(reflect.ValueOf(d)))
		}
	}
	return s
}

// snake turns a struct of figures into what JSON prints with names like the metrics' ("MemoryBytes" is memory_bytes). Durations become seconds.
func snake(v reflect.Value) any {
	if d, ok := v.Interface().(time.Duration); ok {
		return d.Seconds()
	}
	if v.Kind() != reflect.Struct {
		return v.Interface()
	}
	out := make(map[string]any)
	for i := range v.NumField() {
		name := snakeName(v.Type().Field(i).Name)
		if v.Field(i).Type() == reflect.TypeFor[time.Duration]() {
			name += "_seconds"
		}
		out[name] = snake(v.Field(i))
	}
	return out
}

func snakeName(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
