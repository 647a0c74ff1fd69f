package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/alio-lake/alio/gcs"
	"github.com/alio-lake/alio/hdfs"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/limit"
	"github.com/alio-lake/alio/origin/meter"
	"github.com/alio-lake/alio/origin/retry"
	"github.com/alio-lake/alio/s3"
	"github.com/alio-lake/alio/sidecar/config"
	"github.com/alio-lake/alio/sidecar/namespace"
)

// mounts are the origins of a configuration, each by its whole name ("lake", "lake/archive"), and together by first path components, as the sidecar wants
// them.
type mounts struct {
	made map[string]*mount
	top  map[string]origin.Origin
}

// mount is one origin as it was made. A reload that does not change its configuration keeps it.
type mount struct {
	name    string
	cfg     config.Mount
	origin  origin.Origin        // with all that stands around it
	metrics *prometheus.Registry // its own, so that they go when it goes
	close   func()               // may be called more than once
}

// makeMounts makes what the mounts before (may be nil) do not have. The error names every mount that cannot be made; before stays as it is.
func makeMounts(before *mounts, cfgs map[string]config.Mount) (*mounts, error) {
	m := &mounts{made: map[string]*mount{}, top: map[string]origin.Origin{}}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(cfgs)) {
		if before != nil && before.made[name] != nil && reflect.DeepEqual(before.made[name].cfg, cfgs[name]) {
			m.made[name] = before.made[name]
			continue
		}
		one, err := makeMount(name, cfgs[name])
		if err != nil {
			faults = append(faults, fmt.Errorf("mounts.%s: %w", name, err))
			continue
		}
		m.made[name] = one
	}
	faults = append(faults, m.compose(before))
	if err := errors.Join(faults...); err != nil {
		m.discard(before)
		return nil, err
	}
	return m, nil
}

// compose puts together what lies below each first path component. What is as it was before stays the same value.
func (m *mounts) compose(before *mounts) error {
	var faults []error
	for first, below := range m.byFirst() {
		if before != nil && maps.Equal(below, before.byFirst()[first]) {
			m.top[first] = before.top[first]
			continue
		}
		if root, alone := below[""]; alone && len(below) == 1 {
			m.top[first] = root
			continue
		}
		o, err := namespace.New(below)
		faults = append(faults, err)
		m.top[first] = o
	}
	return errors.Join(faults...)
}

// byFirst are the origins by first component, then by what follows it.
func (m *mounts) byFirst() map[string]map[string]origin.Origin {
	out := map[string]map[string]origin.Origin{}
	for name, one := range m.made {
		first, below, _ := strings.Cut(name, "/")
		if out[first] == nil {
			out[first] = map[string]origin.Origin{}
		}
		out[first][below] = one.origin
	}
	return out
}

// discard closes those that the mounts kept (may be nil) do not have.
func (m *mounts) discard(kept *mounts) {
	for name, one := range m.made {
		if kept == nil || kept.made[name] != one {
			one.close()
		}
	}
}

// Gather implements prometheus.Gatherer.
func (m *mounts) Gather() ([]*dto.MetricFamily, error) {
	var all prometheus.Gatherers
	for _, name := range slices.Sorted(maps.Keys(m.made)) {
		all = append(all, m.made[name].metrics)
	}
	return all.Gather()
}

// makeMount stacks what stands around an origin. From the inside: the meter, so that it counts the requests that were really made, each try
// of them; then the limit, so that a try waits for its turn and no time of waiting is taken for the origin's; then the retry, so
// that a try that waits before it begins again holds no slot; outermost whether writes are let through, and what closes the origin after its last use. A
// Forward and a Put pass the retry by: a body can be sent once.
func makeMount(name string, m config.Mount) (*mount, error) {
	bare, err := makeOrigin(m)
	if err != nil {
		return nil, err
	}
	return wrapMount(name, m, bare)
}

// wrapMount makes a mount of an origin, which it owns.
func wrapMount(name string, m config.Mount, bare closable) (*mount, error) {
	var err error
	made := &mount{name: name, cfg: m, metrics: prometheus.NewRegistry(), close: sync.OnceFunc(func() { _ = bare.Close() })} // nothing follows from what it says
	if made.origin, err = made.wrap(bare); err != nil {
		made.close()
		return nil, err
	}
	return made, nil
}

func (m *mount) wrap(bare origin.Origin) (origin.Origin, error) {
	metered, err := meter.New(bare, meter.Options{Mount: m.name, Registerer: m.metrics})
	if err != nil {
		return nil, err
	}
	limited, err := limit.New(metered, limit.Options{Concurrency: m.cfg.Limits.Concurrency, BytesPerSecond: int64(m.cfg.Limits.Bandwidth)})
	if err != nil {
		return nil, err
	}
	retries := prometheus.NewCounter(prometheus.CounterOpts{Name: "alio_origin_retries_total", ConstLabels: prometheus.Labels{"mount": m.name},
		Help: "Requests to the origin that failed and were sent again."})
	if err := m.metrics.Register(retries); err != nil {
		return nil, err
	}
	var o origin.Origin
	if o, err = retry.New(limited, retry.Options{MaxAttempts: m.cfg.Retry.Attempts, MaxElapsed: m.cfg.Retry.MaxElapsed.Std(), Observe: func(e retry.Event) {
		if !e.GaveUp {
			retries.Inc()
		}
	}}); err != nil {
		return nil, err
	}
	if m.cfg.WritePolicy() == config.ReadOnly {
		o = namespace.NewReadOnly(o, m.name)
	}
	return namespace.Own(o, m.close), nil
}

// closable is an origin that holds connections.
type closable interface {
	origin.Origin
	io.Closer
}

// makeOrigin makes an origin of the kind that the mount's URI tells. It asks nobody.
func makeOrigin(m config.Mount) (closable, error) {
	if m.Kind() == config.KindHDFS {
		h := m.HDFS
		return hdfs.New(hdfs.Options{
			URI: m.URI, ConfDir: h.ConfDir, User: h.User, Principal: h.Principal, Keytab: h.Keytab, CredentialCache: h.CredentialCache,
			KerberosConf: h.KerberosConf, ServicePrincipal: h.ServicePrincipal, DataTransferProtection: h.DataTransferProtection,
			UseDatanodeHostname: h.UseDatanodeHostname, Clients: h.Clients, Buffer: int(h.Buffer),
		})
	}
	bucket, prefix, err := config.SplitURI(m.URI)
	if err != nil {
		return nil, err
	}
	switch m.Kind() {
	case config.KindS3:
		return s3.New(s3.Options{
			Bucket: bucket, Prefix: prefix, Endpoint: m.S3.Endpoint, Region: m.S3.Region, PathStyle: m.S3.PathStyle,
			AccessKeyID: string(m.S3.AccessKeyID), SecretAccessKey: m.S3.SecretAccessKey.Reveal(), SessionToken: m.S3.SessionToken.Reveal(),
			Anonymous: m.S3.Anonymous, Connections: m.Limits.Concurrency,
		})
	case config.KindGCS:
		return gcs.New(gcs.Options{
			Bucket: bucket, Prefix: prefix, Endpoint: m.GCS.Endpoint, CredentialsFile: m.GCS.CredentialsFile, Anonymous: m.GCS.Anonymous,
			UserProject: m.GCS.UserProject, Connections: m.Limits.Concurrency,
		})
	}
	return nil, fmt.Errorf("%q is no origin this build can mount", m.URI)
}

// sorted are the mounts by name.
func (m *mounts) sorted() []*mount {
	return slices.SortedFunc(maps.Values(m.made), func(a, b *mount) int { return cmp.Compare(a.name, b.name) })
}
