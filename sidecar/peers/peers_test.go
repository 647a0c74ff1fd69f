package peers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar"
)

// TestReadsFromTheOwner: what the section's owner holds, another sidecar reads from it: the same bytes, and no request of any kind to its origin, since the owner's
// answers about the path were told, too. What the owner does not hold comes from the origin, and goes to nobody else.
func TestReadsFromTheOwner(t *testing.T) {
	f := newFleet(t, 3, nil)
	for i, owner := range f.nodes {
		path, data := f.owned(owner, i), noise(uint64(i), 3<<20+12345)
		f.store.Put(path, data)
		f.mustRead(owner, path, data, 0, int64(len(data)))
		until(t, "the news has been told", func() bool {
			return owner.count(t, "alio_peer_told_total") > 0 || owner.tellsNobody(path)
		})
		for _, reader := range f.nodes {
			if reader == owner {
				continue
			}
			reader.origin.Forget()
			served := func(source string) float64 { return reader.count(t, "alio_read_served_bytes_total", "source", source) }
			origin, peer := served("origin"), served("peer")
			f.mustRead(reader, path, data, 0, int64(len(data)))
			if origin, peer = served("origin")-origin, served("peer")-peer; origin > 0 || peer != float64(len(data)) {
				t.Errorf("%s counts %v bytes that the origin served and %v that a peer did", reader.name, origin, peer)
			}
			f.mustRead(reader, path, data, 100, 200_000)
			if calls := reader.origin.Calls(""); len(calls) > 0 {
				t.Errorf("%s asked the origin for what %s holds: %+v", reader.name, owner.name, calls)
			}
			if got := reader.count(t, "alio_peer_read_bytes_total"); got < float64(len(data)) {
				t.Errorf("%s counts %v bytes from peers", reader.name, got)
			}
		}
	}
	path, data := f.owned(f.nodes[0], 7), noise(7, 1<<20)
	f.store.Put(path, data)
	f.nodes[0].origin.Forget()
	f.mustRead(f.nodes[1], path, data, 0, 1<<20)
	if got := f.nodes[0].origin.Calls(""); len(got) > 0 {
		t.Errorf("the owner asked its origin on behalf of a peer: %+v", got)
	}
}

// TestPartOfARange: the owner holds the beginning of a range only: that comes from it, and the rest in one request from the origin.
func TestPartOfARange(t *testing.T) {
	f := newFleet(t, 2, nil)
	path, data := f.owned(f.nodes[0], 0), noise(1, 2<<20)
	f.store.Put(path, data)
	f.mustRead(f.nodes[0], path, data, 0, 512<<10)
	reader := f.nodes[1]
	f.mustRead(reader, path, data, 2<<20-100, 100) // the version and the layout are known from here on
	reader.peers.absent.forget()
	reader.origin.Forget()
	served := func(source string) float64 { return reader.count(t, "alio_read_served_bytes_total", "source", source) }
	origin, peer := served("origin"), served("peer")
	f.mustRead(reader, path, data, 0, 1<<20)
	if origin, peer = served("origin")-origin, served("peer")-peer; origin != 512<<10 || peer != 512<<10 {
		t.Errorf("the origin served %v bytes, and a peer %v", origin, peer)
	}
	calls := reader.origin.Calls(origintest.OpRead)
	if len(calls) != 1 || calls[0].Read.Offset != 512<<10 || calls[0].Read.Length != 512<<10 {
		t.Errorf("asked the origin %+v, and the owner holds the first half", calls)
	}
	if reader.count(t, "alio_peer_reads_total", "result", "part") != 1 {
		t.Error("the part is not counted")
	}
}

// TestAbsenceIsRemembered: an owner that did not hold a file is not asked again at once.
func TestAbsenceIsRemembered(t *testing.T) {
	f := newFleet(t, 2, nil)
	path, data := f.owned(f.nodes[0], 0), noise(1, 2<<20)
	f.store.Put(path, data)
	for off := int64(0); off < 2<<20; off += 256 << 10 {
		f.mustRead(f.nodes[1], path, data, off, 256<<10)
	}
	miss, skipped := f.nodes[1].count(t, "alio_peer_reads_total", "result", "miss"), f.nodes[1].count(t, "alio_peer_reads_total", "result", "known_absent")
	if miss != 1 || skipped < 5 {
		t.Errorf("%v misses, and %v times not asked", miss, skipped)
	}
}

// TestTheOwnerBefore: who owns a section newly takes its pages from who owned it before, no faster than allowed; who shares a hot section takes them from its first
// owner.
func TestTheOwnerBefore(t *testing.T) {
	f := newFleet(t, 2, nil)
	paths := map[string][]byte{}
	for i := range 60 {
		path, data := fmt.Sprintf("x/%d.bin", i), noise(uint64(i), 300<<10)
		paths[path] = data
		f.store.Put(path, data)
		f.mustRead(f.owner(path), path, data, 0, int64(len(data)))
	}
	until(t, "all news has been told", f.told)
	third := f.add(2, func(_ int, o *nodeOptions) { o.onDemand = true })
	until(t, "the change is seen", func() bool { return len(*third.peers.past.Load()) > 0 })
	moved := 0
	for path, data := range paths {
		if f.owner(path) == third {
			moved++
			f.mustRead(third, path, data, 0, int64(len(data)))
		}
	}
	if reads := third.origin.Calls(origintest.OpRead); moved < 5 || len(reads) > 0 {
		t.Errorf("%d files moved, and their new owner read %d from the origin", moved, len(reads))
	}
	if third.count(t, "alio_peer_reads_total", "owner", "before", "result", "hit") < float64(moved) {
		t.Error("reads from owners before are not counted")
	}
	hot(t, f, third, paths)
}

// hot makes sections hot that two others own.
func hot(t *testing.T, f *fleet, third *node, paths map[string][]byte) {
	var c ring.Change
	for path := range paths {
		if f.owner(path) != third {
			key, err := f.source.Epoch().Key(ring.Split{Mount: "lake", Path: path})
			need(t, err)
			c.Hot = append(c.Hot, ring.Hot{Key: key, Owners: 3})
		}
	}
	f.source.apply(t, c)
	third.origin.Forget()
	before := third.count(t, "alio_peer_reads_total", "owner", "now", "result", "hit")
	for path, data := range paths {
		if f.owner(path) != third {
			f.mustRead(third, path, data, 0, int64(len(data)))
		}
	}
	if reads := third.origin.Calls(origintest.OpRead); len(reads) > 0 {
		t.Errorf("an owner of hot sections read %d times from the origin", len(reads))
	}
	if got := third.count(t, "alio_peer_reads_total", "owner", "now", "result", "hit") - before; got < float64(len(c.Hot)) {
		t.Errorf("of %d hot sections %v were read from their first owner", len(c.Hot), got)
	}
}

// TestPullIsLimited: a new owner that may take one byte a second from the owner before takes what the burst allows, and the rest from the origin.
func TestPullIsLimited(t *testing.T) {
	f := newFleet(t, 1, nil)
	path, data := "x/1.bin", noise(1, 200<<10)
	f.store.Put(path, data)
	f.mustRead(f.nodes[0], path, data, 0, int64(len(data)))
	second := f.add(1, func(_ int, o *nodeOptions) { o.peers.PullRate, o.onDemand = 1, true })
	until(t, "the change is seen", func() bool { return len(*second.peers.past.Load()) > 0 })
	second.peers.pull.AllowN(time.Now(), second.peers.pull.Burst())
	f.source.apply(t, ring.Change{Update: []ring.Member{{Name: "w0", Weight: 1, Draining: true, Sidecar: f.source.Epoch().Members()[0].Sidecar}}})
	if f.owner(path) != second {
		t.Fatal("the draining member still owns it")
	}
	_, err := second.Stat(t.Context(), "lake", path) // so that what is read is of a version that is known
	need(t, err)
	f.mustRead(second, path, data, 0, int64(len(data)))
	if second.count(t, "alio_peer_reads_total", "owner", "before", "result", "limited") == 0 || second.count(t, "alio_peer_read_bytes_total") > 0 {
		t.Error("pages were taken above the rate")
	}
}

// TestClientsPagesStay: pages that a client has put are of its trust domain: no other sidecar is told of them, whatever it asks.
func TestClientsPagesStay(t *testing.T) {
	f := newFleet(t, 2, nil)
	file := sidecar.ClientFile{Domain: "user 1", Mount: "lake", Path: "a.bin", Kind: "etag", Version: "v", Size: 1000}
	found, err := f.nodes[0].LocateClient(t.Context(), file)
	need(t, err)
	obj := found.View.Object()
	at := sidecar.Place{Mount: "lake", Space: f.nodes[0].space(t)}
	if f.nodes[0].Held(t.Context(), at, obj.Path, obj.Version, obj.Size, obj.Parts[0].ID) != nil {
		t.Error("a client's page is told to another sidecar")
	}
	mine := origin.Part{ID: "mem/x@1", Length: 1000}
	if f.nodes[0].Held(t.Context(), at, obj.Path, obj.Version, obj.Size, mine.ID) == nil || f.nodes[0].Held(t.Context(), sidecar.Place{Mount: "lake", Space: "other"}, obj.Path, obj.Version, obj.Size, mine.ID) != nil {
		t.Error("an object of the mount is not told of, or one of another origin is")
	}
}

// space is what sidecars call the origin of the mount.
func (x *node) space(t testing.TB) string {
	t.Helper()
	var p catcher
	s, err := sidecar.New(sidecar.Options{Mounts: map[string]origin.Origin{"lake": x.origin}, Pages: x.cache, Peers: &p})
	need(t, err)
	defer s.Close()
	_, _ = s.Stat(t.Context(), "lake", "nothing")
	if p.at.Space == "" {
		t.Fatal("the mount has no space")
	}
	return p.at.Space
}

// TestManyAtOnce: more readers than a member is asked for at once, and more bytes than may be in flight, cost requests to the origin and nothing else.
func TestManyAtOnce(t *testing.T) {
	f := newFleet(t, 2, func(_ int, o *nodeOptions) { o.peers.InFlight = 1 << 20 })
	path, data := f.owned(f.nodes[0], 0), noise(1, 4<<20)
	f.store.Put(path, data)
	f.mustRead(f.nodes[0], path, data, 0, int64(len(data)))
	done := make(chan error, 64)
	for i := range cap(done) {
		go func() {
			off := int64(i) * (64 << 10)
			got, err := f.nodes[1].read(context.Background(), path, off, 64<<10)
			if err == nil && string(got) != string(data[off:off+64<<10]) {
				err = fmt.Errorf("wrong bytes at %d", off)
			}
			done <- err
		}()
	}
	for range cap(done) {
		need(t, <-done)
	}
	until(t, "all bytes in flight were given back", func() bool { return f.nodes[1].peers.inFlight.TryAcquire(1 << 20) })
	if n := f.nodes[1].peers.reading.Load(); n != 0 {
		t.Errorf("%d bytes are still counted as waited for", n)
	}
}

func TestOptions(t *testing.T) {
	err := Options{InFlight: -1}.Validate()
	for _, want := range []string{"source of epochs", "certificate", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := (ServerOptions{Streams: -1}).Validate(); err == nil || !strings.Contains(err.Error(), "negative") {
		t.Errorf("%v", err)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("New takes no options")
	}
	if _, err := NewServer(ServerOptions{}); err == nil {
		t.Error("NewServer takes no options")
	}
}
