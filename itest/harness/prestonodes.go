package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// KillWorker ends a worker with SIGKILL, the first being 1: its machine is gone.
func (p *Presto) KillWorker(node int) { p.nodes[node].Kill() }

// StartWorker starts a worker again that has ended, on its port; AwaitWorkers tells when it is there.
func (p *Presto) StartWorker(node int) error {
	proc, err := p.launch(node)
	if err == nil {
		p.nodes[node] = proc
	}
	return err
}

// AwaitWorkers returns when the coordinator knows of so many workers: of one that is killed it hears after some seconds, and until then queries that are given to it fail.
func (p *Presto) AwaitWorkers(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return p.nodes[0].ready(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		active, err := p.active(ctx)
		if err == nil && active != n {
			err = fmt.Errorf("%d Presto workers are active, not %d", active, n)
		}
		return err
	})
}

// active is how many workers the coordinator gives work to.
func (p *Presto) active(ctx context.Context) (int, error) {
	text, err := get(ctx, p.URL+"/v1/cluster")
	if err != nil {
		return 0, err
	}
	var cluster struct {
		ActiveWorkers int `json:"activeWorkers"`
	}
	err = json.Unmarshal([]byte(text), &cluster)
	return cluster.ActiveWorkers, err
}
