package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/alio-lake/alio/origin"
)

// checkTime is how long a mount may take to answer when it is asked whether it can be reached.
const checkTime = 5 * time.Second

// mountState is a mount as /mounts tells of it.
type mountState struct {
	Name      string  `json:"name"`
	Kind      string  `json:"kind"` // s3, gs, hdfs
	URI       string  `json:"uri"`
	Origin    string  `json:"origin"` // its id: what part ids begin with
	Writes    string  `json:"writes"`
	Reachable *bool   `json:"reachable,omitempty"` // absent: not asked
	Seconds   float64 `json:"seconds,omitempty"`   // that the answer took
	Error     string  `json:"error,omitempty"`
	Remedy    string  `json:"remedy,omitempty"`
}

// mountStates tells of all mounts, and asks each origin once if that is wanted, all at the same time.
func (p *parts) mountStates(ctx context.Context, ask bool) []mountState {
	all := p.mounts.Load().sorted()
	out := make([]mountState, len(all))
	var asking sync.WaitGroup
	for i, m := range all {
		out[i] = mountState{Name: m.name, Kind: m.cfg.Kind(), URI: m.cfg.URI, Origin: m.origin.ID(), Writes: m.cfg.WritePolicy()}
		if ask {
			asking.Go(func() { out[i].check(ctx, m) })
		}
	}
	asking.Wait()
	return out
}

// check asks for one name: what needs the address, the credentials and the bucket or folder to be right.
func (s *mountState) check(ctx context.Context, m *mount) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	start := time.Now()
	_, err := m.origin.List(ctx, origin.ListRequest{MaxKeys: 1})
	s.Seconds = time.Since(start).Seconds()
	ok := err == nil
	s.Reachable = &ok
	if err != nil {
		s.Error = strings.ReplaceAll(err.Error(), "\n", " ")
		s.Remedy = remedy(m, err)
	}
}

// remedy is where to look first, by the kind of error and of origin.
func remedy(m *mount, err error) string {
	at := "mounts." + m.name
	section := at + "." + map[string]string{"s3": "s3", "gs": "gcs", "hdfs": "hdfs"}[m.cfg.Kind()]
	switch origin.Kind(err) {
	case origin.ErrNotFound:
		return "the bucket or folder does not exist there: check " + at + ".uri, and the service that " + section + " names"
	case origin.ErrDenied:
		return "whoever the sidecar is there may not list it: check the credentials in " + section + " (or the environment's), and the rights given to them"
	case origin.ErrThrottled:
		return "the service asks for patience: lower " + at + ".limits.concurrency, or try again later"
	case origin.ErrInvalid, origin.ErrUnsupported:
		return "the service does not take the request: check " + at + ".uri and " + section
	}
	return "nothing usable answers: check the address in " + at + ".uri and " + section + ", that this machine can reach it, and that it is up"
}
