package main

import (
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
	HitRatio      float64        `json:"hit_ratio"` // of bytes, since the start; 0 before the first read
	Cache         any            `json:"cache"`
	CacheDir      string         `json:"cache_dir,omitempty"`
	Disk          any            `json:"disk,omitempty"` // absent: memory only
	Sidecar       sidecar.Status `json:"sidecar"`
}

func (p *parts) status() any {
	c := p.cache.Stats()
	s := status{
		Build: thisBuild(), Started: p.state.started.UTC().Truncate(time.Second), UptimeSeconds: time.Since(p.state.started).Seconds(),
		Addresses: *p.state.addresses.Load(), Cache: snake(reflect.ValueOf(c)), CacheDir: p.cfg.Cache.Dir, Sidecar: p.sidecar.Status(),
	}
	if err := p.state.notReady(); err != nil {
		s.NotReady = err.Error()
	}
	s.Ready = s.NotReady == ""
	if served := c.MemoryServed + c.DiskServed + c.OriginServed; served > 0 {
		s.HitRatio = float64(c.MemoryServed+c.DiskServed) / float64(served)
	}
	if p.tier != nil {
		s.Disk = snake(reflect.ValueOf(p.tier.Stats()))
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
