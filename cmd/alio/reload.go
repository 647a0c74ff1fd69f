package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/s3/endpoint"
	"github.com/alio-lake/alio/sidecar/config"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/prefetch"
	"github.com/alio-lake/alio/sidecar/rpc"
)

// reloads re-read the configuration, one at a time.
type reloads struct {
	load func() (*config.Config, error) // the file as it is now, and the flags of the command line over it

	mu   sync.Mutex
	now  *config.Config // what is in force
	last *reloadReport
}

// reloadReport is what a reload has done.
type reloadReport struct {
	At           time.Time `json:"at"`
	Error        string    `json:"error,omitempty"` // then nothing was changed
	Added        []string  `json:"mounts_added,omitempty"`
	Changed      []string  `json:"mounts_changed,omitempty"`
	Removed      []string  `json:"mounts_removed,omitempty"`
	NeedsRestart []string  `json:"needs_restart,omitempty"` // keys whose new values are not in force
}

// reload puts mounts, freshness rules, what is said of prefetching and clients' keys of the configuration as it is now in the place of those in force, and tells which other keys have
// changed. With an error nothing is changed; it is in the report, too.
func (p *parts) reload() (reloadReport, error) {
	p.reloads.mu.Lock()
	defer p.reloads.mu.Unlock()
	report := reloadReport{At: time.Now().UTC().Truncate(time.Millisecond)}
	err := p.reloadTo(&report)
	if err != nil {
		report = reloadReport{At: report.At, Error: err.Error()}
		p.log.Error().Err(err).Msg("reload failed; everything is as it was")
	} else {
		p.log.Info().Strs("added", report.Added).Strs("changed", report.Changed).Strs("removed", report.Removed).Strs("needs_restart", report.NeedsRestart).
			Strs("mounts", p.sidecar.Mounts()).Msg("configuration reloaded")
	}
	p.reloads.last = &report
	return report, err
}

// lastReload is what the last one has done; nil if there was none.
func (p *parts) lastReload() *reloadReport {
	p.reloads.mu.Lock()
	defer p.reloads.mu.Unlock()
	return p.reloads.last
}

func (p *parts) reloadTo(report *reloadReport) error {
	if p.reloads.load == nil {
		return errors.New("there is nothing to read the configuration from again")
	}
	said, err := p.reloads.load()
	if err != nil {
		return err
	}
	next := p.effective(said, report)
	if err := next.Validate().Err(); err != nil {
		return fmt.Errorf("beside what is in force until a restart: %w", err)
	}
	if err := checkPassed(p.s3Address, next.Doors.S3); err != nil {
		return err
	}
	rules, err := freshnessRules(next.Freshness)
	if err != nil {
		return err
	}
	ahead, err := prefetchSettings(next.Prefetch)
	if err != nil {
		return err
	}
	before := p.mounts.Load()
	made, err := makeMounts(before, next.Mounts)
	if err != nil {
		return err
	}
	if err := p.swap(next, made, rules, ahead); err != nil {
		made.discard(before)
		return err
	}
	p.mounts.Store(made)
	p.reloads.now = next
	report.compare(before, made)
	return nil
}

// swap is what can be seen from outside. Keys come last, so that none opens a mount that is not there yet; the steps before have checked all that can be
// checked, so that none fails after another has succeeded, but for a fault of ours.
func (p *parts) swap(next *config.Config, made *mounts, rules []freshness.Rule, ahead prefetch.Settings) error {
	if err := p.sidecar.Reload(made.top, rules); err != nil {
		return err
	}
	if err := p.sidecar.SetPrefetch(ahead); err != nil {
		return err
	}
	if err := p.handler.SetCredentials(s3Credentials(next.Doors.S3)); err != nil {
		return err
	}
	if p.rpc == nil {
		return nil
	}
	return p.rpc.SetTokens(grpcTokens(next.Doors.GRPC))
}

// effective is what can be in force without a restart: what is said, with the rest as it is now.
func (p *parts) effective(said *config.Config, report *reloadReport) *config.Config {
	now, next := p.reloads.now, *said
	next.Cache, next.Affinity, next.Admin, next.Log, next.ShutdownGrace = now.Cache, now.Affinity, now.Admin, now.Log, now.ShutdownGrace
	next.Doors = now.Doors
	next.Doors.S3.Credentials, next.Doors.GRPC.Tokens = said.Doors.S3.Credentials, said.Doors.GRPC.Tokens
	report.NeedsRestart = differing("", reflect.ValueOf(*said), reflect.ValueOf(next))
	return &next
}

// differing names the keys at which two configurations differ.
func differing(path string, a, b reflect.Value) []string {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return nil
	}
	if a.Kind() != reflect.Struct {
		return []string{path}
	}
	var keys []string
	for i := range a.NumField() {
		keys = append(keys, differing(units.Join(path, units.FieldName(a.Type().Field(i))), a.Field(i), b.Field(i))...)
	}
	return keys
}

func (r *reloadReport) compare(before, after *mounts) {
	for _, name := range slices.Sorted(maps.Keys(after.made)) {
		switch old := before.made[name]; {
		case old == nil:
			r.Added = append(r.Added, name)
		case old != after.made[name]:
			r.Changed = append(r.Changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.made)) {
		if after.made[name] == nil {
			r.Removed = append(r.Removed, name)
		}
	}
}

// hangups reloads at every SIGHUP until ctx ends. The signal is caught from the call on, not from when the goroutine runs.
func (p *parts) hangups(ctx context.Context, workers *sync.WaitGroup) {
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGHUP)
	workers.Go(func() {
		defer signal.Stop(came)
		for {
			select {
			case <-came:
				p.reload() // it logs what became of it
			case <-ctx.Done():
				return
			}
		}
	})
}

// freshnessRules are the operator's rules as the sidecar takes them.
func freshnessRules(f config.Freshness) ([]freshness.Rule, error) {
	rules := make([]freshness.Rule, 0, len(f.Rules))
	for i, r := range f.Rules {
		rule := freshness.Rule{Path: r.Path, MaxAge: r.MaxAge.Std()}
		if r.MaxAge == units.Forever {
			rule.MaxAge = freshness.Forever
		}
		for _, a := range r.Answers {
			kind, err := freshness.ParseKind(a)
			if err != nil {
				return nil, fmt.Errorf("freshness.rules[%d]: %w", i, err)
			}
			rule.Answers = append(rule.Answers, kind)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// prefetchSettings are what the operator says of prefetching as the sidecar takes it.
func prefetchSettings(c config.Prefetch) (s prefetch.Settings, err error) {
	s = prefetch.Settings{Requests: c.Requests, Ahead: int64(c.Ahead), Bandwidth: int64(c.Bandwidth)}
	if s.Mode, err = prefetch.ParseMode(c.Mode); err != nil {
		return s, fmt.Errorf("prefetch.mode: %w", err)
	}
	for i, r := range c.Rules {
		mode, err := prefetch.ParseMode(r.Mode)
		if err != nil {
			return s, fmt.Errorf("prefetch.rules[%d].mode: %w", i, err)
		}
		s.Rules = append(s.Rules, prefetch.Rule{Path: r.Path, Mode: mode})
	}
	return s, nil
}

// s3Credentials are the keys of the S3 door's clients as it takes them.
func s3Credentials(d config.S3Door) (out []endpoint.Credential) {
	for _, c := range d.Credentials {
		out = append(out, endpoint.Credential{AccessKeyID: string(c.AccessKeyID), SecretAccessKey: c.SecretAccessKey.Reveal(), Mounts: c.Mounts})
	}
	return out
}

// grpcTokens are the tokens of the gRPC door's clients as it takes them.
func grpcTokens(d config.GRPCDoor) (out []rpc.Token) {
	for _, t := range d.Tokens {
		out = append(out, rpc.Token{Name: t.Name, Secret: t.Token.Reveal(), Mounts: t.Mounts})
	}
	return out
}
