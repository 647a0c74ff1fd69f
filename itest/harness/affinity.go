package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity"
)

// AffinityOptions say how AffinityService starts.
type AffinityOptions struct {
	Socket string        // path of a Unix socket for its gRPC door; "": none
	Lease  time.Duration // of members that it takes for absent after that; 0: 2 s
	Ring   string        // YAML of affinity.ring; "": {partitions: 1024}
	Load   string        // YAML of affinity.load; "": {}
}

// Affinity is a running alio affinity with an etcd inside, as it stands beside a coordinator. Its addresses survive Kill and Start.
type Affinity struct {
	Admin string // http://127.0.0.1:port
	Etcd  string // http://127.0.0.1:port, for members

	bin  string
	dir  string
	o    AffinityOptions
	proc *Process
}

// AffinityService starts alio affinity for one test, and stops it when the test ends.
func AffinityService(t testing.TB, o AffinityOptions) *Affinity {
	t.Helper()
	a, err := newAffinity(t, o)
	if err == nil {
		err = a.Start(context.Background())
	}
	if err != nil {
		t.Fatalf("affinity service for the test: %v", err)
	}
	return a
}

func newAffinity(t testing.TB, o AffinityOptions) (*Affinity, error) {
	if o.Lease == 0 {
		o.Lease = 2 * time.Second
	}
	if o.Ring == "" {
		o.Ring = "{partitions: 1024}"
	}
	if o.Load == "" {
		o.Load = "{}"
	}
	bin, err := AlioBinary(context.Background(), t.Logf)
	if err != nil {
		return nil, err
	}
	a := &Affinity{bin: bin, dir: t.TempDir(), o: o}
	var listen [2]string
	for i := range listen {
		p, err := PickPort()
		if err != nil {
			return nil, err
		}
		t.Cleanup(p.Release)
		listen[i] = p.Addr()
	}
	a.Admin, a.Etcd = "http://"+listen[0], "http://"+listen[1]
	config := fmt.Sprintf("affinity: {dir: '%s', lease: %s, ring: %s, load: %s, embedded: {listen: '%s'}}\nadmin: {listen: '%s'}\n", filepath.Join(a.dir, "data"), o.Lease, o.Ring, o.Load, listen[1], listen[0])
	if o.Socket != "" {
		config += fmt.Sprintf("doors: {grpc: {socket: '%s'}}\n", o.Socket)
	}
	t.Cleanup(func() {
		if a.proc == nil {
			return
		}
		a.proc.Stop(5 * time.Second)
		if t.Failed() {
			t.Logf("end of the affinity service's output:\n%s", a.proc.Tail(4000))
		}
	})
	return a, os.WriteFile(filepath.Join(a.dir, "alio.yaml"), []byte(config), 0o600)
}

// Member is the line of a sidecar's configuration by which it joins.
func (a *Affinity) Member(name, worker string) string {
	return fmt.Sprintf("affinity: {name: %s, worker: '%s', weight: 10, lease: %s, candidate: false, etcd: {endpoints: ['%s']}}\n", name, worker, a.o.Lease, a.Etcd)
}

// Start starts it, again after Kill, and returns when it answers, be it that there is no epoch yet.
func (a *Affinity) Start(ctx context.Context) error {
	var err error
	a.proc, err = startProcess(processSpec{Name: "alio affinity", Path: a.bin, Dir: a.dir, LogFile: filepath.Join(a.dir, "alio.log"),
		Args: []string{"affinity", "--config", filepath.Join(a.dir, "alio.yaml")}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return a.proc.ready(ctx, 10*time.Millisecond, func(ctx context.Context) error {
		_, err := get(ctx, a.Admin+"/healthz")
		return err
	})
}

// Kill ends it with SIGKILL.
func (a *Affinity) Kill() { a.proc.Kill() }

// PID is its process id.
func (a *Affinity) PID() int { return a.proc.PID() }

// Owners are the workers of the first owners of some splits, in that order; none while there is no epoch.
func (a *Affinity) Owners(ctx context.Context, splits []affinity.SplitJSON) ([]string, error) {
	body, err := json.Marshal(affinity.AssignJSON{Owners: 1, Splits: splits})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Admin+"/v1/assign", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode == http.StatusServiceUnavailable {
		return nil, err
	}
	var told affinity.AssignedJSON
	if err := json.Unmarshal(answer, &told); err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("assign: %s: %.300s", res.Status, answer)
	}
	var workers []string
	for _, x := range told.Assignments {
		workers = append(workers, x.Owners[0].Worker)
	}
	return workers, nil
}

// HotSections is how many sections have more owners than others in the epoch that it answers from.
func (a *Affinity) HotSections(ctx context.Context) (int, error) {
	text, err := get(ctx, a.Admin+"/v1/ring")
	if err != nil {
		return 0, err
	}
	var told affinity.RingJSON
	err = json.Unmarshal([]byte(text), &told)
	return told.Hot, err
}

// Await returns when so many members serve in the epoch that it answers from.
func (a *Affinity) Await(ctx context.Context, members int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return a.proc.ready(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		text, err := get(ctx, a.Admin+"/v1/ring")
		if err != nil {
			return err
		}
		var told affinity.RingJSON
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			return err
		}
		serving := 0
		for _, m := range told.Members {
			if !m.Draining && !m.Excluded {
				serving++
			}
		}
		if serving != members {
			return fmt.Errorf("%d members serve, not %d", serving, members)
		}
		return nil
	})
}
