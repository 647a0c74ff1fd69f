package affinity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/alio-lake/alio/affinity"
	"github.com/alio-lake/alio/affinity/follow"
	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/itest/harness"
)

const lease = 2 * time.Second

// member starts a sidecar that belongs to a fleet. Its mount has no origin behind it: nobody reads here.
func member(t *testing.T, name, etcd string) *harness.Alio {
	t.Helper()
	return harness.SidecarWith(t, harness.AlioOptions{
		Mounts: "  lake: {uri: 's3://bucket', s3: {endpoint: 'http://127.0.0.1:1', region: x, path_style: true, anonymous: true}}\n",
		Socket: filepath.Join(t.TempDir(), "s"), AccessKey: "a", SecretKey: "b",
		ExtraYAML: fmt.Sprintf("affinity: {name: %s, worker: '%s:8080', sidecar: '%s:9490', weight: 10, lease: %s, %s, ring: {partitions: 1024}}\n", name, name, name, lease, etcd),
	})
}

var splits = func() affinity.AssignJSON {
	req := affinity.AssignJSON{Owners: 1}
	for i := range 600 {
		req.Splits = append(req.Splits, affinity.SplitJSON{Mount: "lake", Path: fmt.Sprintf("sales/part-%d.parquet", i), Offset: int64(i%4) << 28})
	}
	return req
}()

// assign asks a sidecar who owns the splits: the epoch, and a name for each.
func assign(t *testing.T, a *harness.Alio) (epoch uint64, owners []string) {
	t.Helper()
	body, err := json.Marshal(splits)
	need(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.Admin+"/v1/assign", bytes.NewReader(body))
	need(t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	need(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	need(t, err)
	if resp.StatusCode == http.StatusServiceUnavailable {
		return 0, nil
	}
	var told affinity.AssignedJSON
	if err := json.Unmarshal(answer, &told); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %.300s: %v", resp.Status, answer, err)
	}
	for _, x := range told.Assignments {
		owners = append(owners, x.Owners[0].Name)
	}
	return told.Epoch, owners
}

// shares waits until all sidecars answer the same, from one epoch, and with so many names in the answers.
func shares(t *testing.T, names int, all ...*harness.Alio) []string {
	t.Helper()
	var first []string
	eventually(t, fmt.Sprintf("%d sidecars answer alike, with %d owners", len(all), names), func() bool {
		number, owners := assign(t, all[0])
		seen := map[string]bool{}
		for _, o := range owners {
			seen[o] = true
		}
		for _, a := range all[1:] {
			n, o := assign(t, a)
			if n != number || strings.Join(o, " ") != strings.Join(owners, " ") {
				return false
			}
		}
		first = owners
		return len(seen) == names
	})
	return first
}

// TestSidecars: three sidecars, real processes, one with etcd inside. Each answers the same, over HTTP and gRPC. One is killed: when its lease has ended its share moves, and nothing else; it comes back, and has
// exactly its share again. One that is stopped in order is missed at once. The sidecar with etcd inside goes: the others answer as before, and a start without etcd has the epoch from disk.
func TestSidecars(t *testing.T) {
	port, err := harness.PickPort()
	need(t, err)
	defer port.Release()
	client := "etcd: {endpoints: ['http://" + port.Addr() + "']}"
	a := member(t, "a", "embedded: {listen: '"+port.Addr()+"'}")
	b, c := member(t, "b", client), member(t, "c", client)
	before := shares(t, 3, a, b, c)
	sameOverGRPC(t, b, before)

	c.Kill()
	killed := time.Now()
	after := shares(t, 2, a, b)
	if took := time.Since(killed); took < lease/2 || took > lease+3*time.Second {
		t.Errorf("a member that was killed was missed after %v, and its lease is %v", took, lease)
	}
	moved := 0
	for i := range before {
		if before[i] != after[i] {
			moved++
			if before[i] != "c" {
				t.Fatalf("split %d moved from %s to %s when c was killed", i, before[i], after[i])
			}
		}
	}
	need(t, c.Start(t.Context()))
	back := shares(t, 3, a, b, c)
	same := 0
	for i := range back {
		if back[i] == before[i] {
			same++
		}
	}
	t.Logf("of %d splits %d moved; after the return %d are where they were before", len(before), moved, same)
	if same < len(before) {
		t.Error("the member has not exactly its share again")
	}

	c.Shutdown()
	stopped := time.Now()
	shares(t, 2, a, b)
	if took := time.Since(stopped); took > lease*3/4 {
		t.Errorf("a member that left in order was missed after %v", took)
	}

	_, last := assign(t, b)
	a.Kill()
	b.Kill()
	need(t, b.Start(t.Context()))
	eventually(t, "a start without etcd answers from the epoch on disk", func() bool { _, o := assign(t, b); return strings.Join(o, " ") == strings.Join(last, " ") })
	need(t, a.Start(t.Context()))
	need(t, c.Start(t.Context()))
	shares(t, 3, a, b, c)
}

// sameOverGRPC follows a sidecar by Watch, and asks it, at its gRPC door.
func sameOverGRPC(t *testing.T, a *harness.Alio, want []string) {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+a.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	need(t, err)
	defer conn.Close()
	service := apiv1.NewAffinityClient(conn)
	f, err := follow.New(follow.Options{Service: service})
	need(t, err)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wg.Go(func() { f.Run(ctx) })
	eventually(t, "an epoch by Watch", func() bool { return f.Epoch() != nil })
	req := &apiv1.AssignRequest{}
	for _, s := range splits.Splits {
		req.Splits = append(req.Splits, &apiv1.Split{Mount: s.Mount, Path: s.Path, Offset: s.Offset})
	}
	reply, err := service.Assign(t.Context(), req)
	need(t, err)
	for i, s := range splits.Splits {
		watched, err := f.Owners(ring.Split{Mount: s.Mount, Path: s.Path, Offset: s.Offset}, 1)
		need(t, err)
		if got := reply.Members[reply.Assignments[i].Owners[0]].Name; got != want[i] || watched[0].Name != want[i] {
			t.Fatalf("split %d: HTTP answers %s, gRPC %s, the watched epoch %s", i, want[i], got, watched[0].Name)
		}
	}
}
