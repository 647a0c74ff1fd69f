package harness

import (
	"context"
	"fmt"
	"time"
)

// Kill ends the node with SIGKILL: its machine is gone.
func (t *Trino) Kill() { t.proc.Kill() }

// Again starts a node again that has ended, on its port; AwaitWorkers of its coordinator tells when it is there.
func (t *Trino) Again() error { return t.again() }

// AwaitWorkers returns when the coordinator knows of so many workers: of one that is killed it hears after some seconds, and until then queries that are given to it fail.
func (t *Trino) AwaitWorkers(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	db, err := t.DB("system", "runtime")
	if err != nil {
		return err
	}
	return t.proc.ready(ctx, 250*time.Millisecond, func(ctx context.Context) error {
		rows, err := Rows(ctx, db, "SELECT node_id FROM nodes WHERE state = 'active' AND NOT coordinator")
		if err == nil && len(rows) != n {
			err = fmt.Errorf("%d Trino workers are active, not %d", len(rows), n)
		}
		return err
	})
}
