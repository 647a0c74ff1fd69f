package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/alio-lake/alio/affinity/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls a condition to a deadline.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		if condition() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func startEtcd(t *testing.T, dir, listen string) *Embedded {
	t.Helper()
	var e *Embedded
	eventually(t, "etcd starts", func() (ok bool) { // its old port may be taken for a moment
		var err error
		e, err = StartEmbedded(t.Context(), EmbeddedOptions{Dir: dir, Listen: listen})
		if err != nil && listen == "127.0.0.1:0" {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(e.Close)
	return e
}

// part is a node that runs, with a client of its own.
type part struct {
	*Node
	client *clientv3.Client
	cancel context.CancelFunc
	done   chan error
}

func member(name string) ring.Member {
	return ring.Member{Name: name, Weight: 1, Sidecar: name + ":4380", Worker: name + ":8080"}
}

// start runs a node.
func start(t *testing.T, endpoint string, o Options) *part {
	t.Helper()
	client, err := clientv3.New(keepAlive(clientv3.Config{Endpoints: []string{endpoint}}))
	need(t, err)
	o.Client, o.TTL, o.Settle, o.ChunkSize = client, time.Second, 10*time.Millisecond, 1024
	if o.Settings.Partitions == 0 {
		o.Settings.Partitions = 256
	}
	n, err := New(o)
	need(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{n, client, cancel, make(chan error, 1)}
	go func() { p.done <- n.Run(ctx) }()
	t.Cleanup(func() { p.stop() })
	return p
}

// stop ends a node in order; twice is fine.
func (p *part) stop() error {
	p.cancel()
	err := <-p.done
	p.done <- err
	_ = p.client.Close()
	return err
}

// die takes a node's connection away, as when its machine is gone.
func (p *part) die() { _ = p.client.Close() }

func (p *part) names() string {
	e := p.Epoch()
	if e == nil {
		return "no epoch"
	}
	var out []string
	for _, m := range e.Members() {
		out = append(out, m.Name)
	}
	return strings.Join(out, " ")
}

func agree(t *testing.T, want string, parts ...*part) {
	t.Helper()
	eventually(t, "members "+want, func() bool {
		for _, p := range parts {
			if p.names() != want || p.Epoch().Hash() != parts[0].Epoch().Hash() {
				return false
			}
		}
		return true
	})
}

// TestFleet: members join, change, leave in order and die; all nodes come to the same epoch each time, and followers too.
func TestFleet(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	a := start(t, etcd.Endpoint(), Options{Self: member("a"), Candidate: true})
	b := start(t, etcd.Endpoint(), Options{Self: member("b"), Candidate: true})
	c := start(t, etcd.Endpoint(), Options{Self: member("c")})
	follower := start(t, etcd.Endpoint(), Options{})
	agree(t, "a b c", a, b, c, follower)

	drains := member("c")
	drains.Draining = true
	need(t, c.Announce(drains))
	eventually(t, "c drains", func() bool { return follower.Epoch().Members()[2].Draining && follower.Epoch().Most() == 2 })

	began := time.Now()
	need(t, c.stop())
	agree(t, "a b", a, b, follower)
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("a member that left in order was missed after %v: it waited for the lease", took)
	}

	d := start(t, etcd.Endpoint(), Options{Self: member("d")})
	agree(t, "a b d", a, b, d, follower)
	d.die()
	agree(t, "a b", a, b, follower)

	leader, other := a, b
	if b.Leads() {
		leader, other = b, a
	}
	number := other.Epoch().Number()
	leader.die()
	agree(t, other.o.Self.Name, other, follower)
	if !other.Leads() || other.Epoch().Number() <= number {
		t.Errorf("after the leader died the other leads: %v, epoch %d after %d", other.Leads(), other.Epoch().Number(), number)
	}
	eventually(t, "chunks of old epochs are removed", func() bool {
		r, err := etcd.Client().Get(t.Context(), "/alio/affinity/chunks/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		need(t, err)
		return len(r.Kvs) <= 2 // of the epoch in force, and of the one before it
	})
}

// TestManyMembers: four hundred that announce themselves at once make a few epochs, in many chunks, and all come to the last one.
func TestManyMembers(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	a := start(t, etcd.Endpoint(), Options{Self: member("a"), Candidate: true})
	follower := start(t, etcd.Endpoint(), Options{})
	agree(t, "a", a, follower)
	for i := range 400 {
		name := fmt.Sprintf("worker-%03d", i)
		value, err := json.Marshal(member(name))
		need(t, err)
		_, err = etcd.Client().Put(t.Context(), "/alio/affinity/members/"+name, string(value))
		need(t, err)
	}
	eventually(t, "401 members", func() bool {
		return len(follower.Epoch().Members()) == 401 && a.Epoch().Hash() == follower.Epoch().Hash()
	})
	r, err := etcd.Client().Get(t.Context(), "/alio/affinity/chunks/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	need(t, err)
	t.Logf("epoch %d, %d chunks", follower.Epoch().Number(), len(r.Kvs))
	if len(r.Kvs) < 50 || follower.Epoch().Number() > 200 {
		t.Error("chunks are larger than they may be, or each member made an epoch of its own")
	}
}

// TestEtcdComesAndGoes: while etcd is away the last epoch stays, also for a node that starts then. It comes back with its data, then without; nothing moves, and changes go on.
func TestEtcdComesAndGoes(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "ring", "epoch")
	etcd := startEtcd(t, dir, "127.0.0.1:0")
	listen := strings.TrimPrefix(etcd.Endpoint(), "http://")
	a := start(t, etcd.Endpoint(), Options{Self: member("a"), Candidate: true, File: file})
	b := start(t, etcd.Endpoint(), Options{Self: member("b")})
	agree(t, "a b", a, b)
	before := a.Epoch()
	eventually(t, "the epoch is on disk", func() bool { e, err := readFile(file); return err == nil && e != nil && e.Hash() == before.Hash() })

	etcd.Close()
	if a.Epoch() != before || b.names() != "a b" {
		t.Error("the epoch went with etcd")
	}
	late := start(t, etcd.Endpoint(), Options{File: file})
	agree(t, "a b", late)
	etcd = startEtcd(t, dir, listen)
	c := start(t, etcd.Endpoint(), Options{Self: member("c")})
	agree(t, "a b c", a, b, c, late)
	c.stop()
	agree(t, "a b", a, b, late)

	number := a.Epoch().Number()
	b.die() // it cannot announce itself again, and must not be missed before its time
	etcd.Close()
	etcd = startEtcd(t, t.TempDir(), listen)
	eventually(t, "the empty etcd has an epoch again", func() bool { return late.Epoch().Number() > number })
	if got := late.names(); got != "a b" {
		t.Errorf("etcd had lost its members, and the next epoch has %s: they were taken out at once", got)
	}
	agree(t, "a", a, late) // after the time in which nobody is taken out
	d := start(t, etcd.Endpoint(), Options{Self: member("d")})
	agree(t, "a d", a, d, late)
}

// TestNameTaken: a second sidecar under a member's name is told so, and the first stays; the first itself may come back before its lease has ended.
func TestNameTaken(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	a := start(t, etcd.Endpoint(), Options{Self: member("a"), Candidate: true})
	agree(t, "a", a)
	thief := member("a")
	thief.Sidecar = "elsewhere:4380"
	second := start(t, etcd.Endpoint(), Options{Self: thief})
	eventually(t, "the second is told", func() bool { return second.Trouble() != nil })
	if err := second.Trouble(); !errors.Is(err, ErrNameTaken) || !strings.Contains(err.Error(), `"a" is the sidecar at "a:4380" beside the worker at "a:8080", and this one is at "elsewhere:4380"`) {
		t.Errorf("a second sidecar under one name: %v", err)
	}
	if a.Epoch().Members()[0].Sidecar != "a:4380" || second.Announced() || !a.Announced() {
		t.Error("the second took the name")
	}
	agree(t, "a", a, second) // it follows all the same
	second.stop()
	a.die()
	again := start(t, etcd.Endpoint(), Options{Self: member("a"), Candidate: true})
	agree(t, "a", again)
}

// TestNameFreed: one that waits for a name gets it when the other's lease has ended; so a sidecar may come back at another address.
func TestNameFreed(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	a := start(t, etcd.Endpoint(), Options{Self: member("a")})
	b := start(t, etcd.Endpoint(), Options{Self: member("b"), Candidate: true})
	agree(t, "a b", a, b)
	a.die()
	moved := member("a")
	moved.Sidecar = "elsewhere:4380"
	again := start(t, etcd.Endpoint(), Options{Self: moved})
	eventually(t, "it has the name", func() bool {
		return again.Announced() && again.Trouble() == nil && b.names() == "a b" && b.Epoch().Members()[0].Sidecar == "elsewhere:4380"
	})
}

// TestTwins: two that run under one name with the same addresses do not take it from each other by turns: the one that came later is the member, and the other is told, and comes back when that one goes.
func TestTwins(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	a := start(t, etcd.Endpoint(), Options{Self: member("a")})
	b := start(t, etcd.Endpoint(), Options{Self: member("b"), Candidate: true})
	agree(t, "a b", a, b)
	twin := start(t, etcd.Endpoint(), Options{Self: member("a")})
	eventually(t, "the first is told", func() bool { return errors.Is(a.Trouble(), ErrNameTaken) })
	number := b.Epoch().Number()
	eventually(t, "some tries of the first", func() bool { return a.tries.Load() > 3 })
	if twin.Trouble() != nil || !twin.Announced() || a.Announced() || b.Epoch().Number() != number {
		t.Errorf("the name goes to and fro: %v, epoch %d after %d", twin.Trouble(), b.Epoch().Number(), number)
	}
	twin.stop()
	eventually(t, "the first is the member again", func() bool { return a.Announced() && a.Trouble() == nil })
	agree(t, "a b", a, b)
}

// TestDrain: what an operator says of a member holds while the member comes and goes, until it is taken back.
func TestDrain(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	a := start(t, etcd.Endpoint(), Options{Self: member("a"), Candidate: true})
	b := start(t, etcd.Endpoint(), Options{Self: member("b")})
	agree(t, "a b", a, b)
	drains := func(want bool) func() bool {
		return func() bool {
			slot, ok := a.Epoch().Find("b")
			return ok && a.Epoch().Members()[slot].Draining == want
		}
	}
	need(t, a.Drain(t.Context(), "b", false))
	eventually(t, "b drains", drains(true))
	b.stop()
	agree(t, "a", a)
	b = start(t, etcd.Endpoint(), Options{Self: member("b")})
	eventually(t, "b is back and drains", drains(true))
	need(t, b.Drain(t.Context(), "b", true))
	eventually(t, "b owns its share again", drains(false))
	if err := a.Drain(t.Context(), "a/b", false); err == nil {
		t.Error("a name with a slash drains")
	}
}

// TestBadRecords: what is no member, or one that the ring refuses, is left out; a pointer or chunks that make no sense leave the last epoch in force.
func TestBadRecords(t *testing.T) {
	etcd := startEtcd(t, t.TempDir(), "127.0.0.1:0")
	a := start(t, etcd.Endpoint(), Options{Self: member("a"), Candidate: true})
	follower := start(t, etcd.Endpoint(), Options{})
	agree(t, "a", a, follower)
	put := func(key, value string) {
		t.Helper()
		_, err := etcd.Client().Put(t.Context(), "/alio/affinity/"+key, value)
		need(t, err)
	}
	put("members/garbage", "\x00{")
	put("members/other", `{"Name":"another","Weight":1}`)
	put("members/weightless", `{"Name":"weightless","Weight":0}`)
	put("members/zoned", `{"Name":"zoned","Weight":1,"Zone":"nowhere"}`)
	b := start(t, etcd.Endpoint(), Options{Self: member("b")})
	agree(t, "a b", a, b, follower)

	before := follower.Epoch()
	put("epoch", "not JSON")
	put("epoch", fmt.Sprintf(`{"number":999,"hash":%q}`, strings.Repeat("ab", 32)))
	if follower.Epoch() != before {
		t.Error("a senseless pointer changed the epoch")
	}
	eventually(t, "the leader puts an epoch there again", func() bool {
		p, _, _, ok, err := a.store.current(t.Context())
		return err == nil && ok && p.Number == follower.Epoch().Number() && p.Number > before.Number()
	})
	c := start(t, etcd.Endpoint(), Options{Self: member("c")})
	agree(t, "a b c", a, b, c, follower)
}

// TestFile: a file that is no epoch is no epoch, and does not stop a start.
func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "epoch")
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://127.0.0.1:1"}, Logger: zap.NewNop()})
	need(t, err)
	defer client.Close()
	need(t, os.WriteFile(name, []byte("ALIOring but not really"), 0o600))
	fromFile := func() *ring.Epoch {
		n, err := New(Options{Client: client, File: name})
		need(t, err)
		n.load()
		return n.Epoch()
	}
	if e := fromFile(); e != nil {
		t.Errorf("%v from a damaged file", e)
	}
	if _, err := readFile(name); !errors.Is(err, ring.ErrCorrupt) {
		t.Errorf("a damaged file: %v", err)
	}
	e, err := ring.New(ring.Settings{Partitions: 64})
	need(t, err)
	need(t, writeFile(name, e))
	if got := fromFile(); got == nil || got.Hash() != e.Hash() {
		t.Errorf("the file gives another epoch than was written: %v", got)
	}
}

func TestOptions(t *testing.T) {
	err := Options{Prefix: "x", TTL: time.Millisecond, ChunkSize: 1, Self: ring.Member{Name: "a/b"}}.Validate()
	for _, want := range []string{"give a client", "must end in a slash", "at least 1s", "1 KiB to 1 MiB", "a name has no slash", "weight 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
