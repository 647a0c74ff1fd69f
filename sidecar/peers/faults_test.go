package peers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
)

// spoiler spoils what one stream sends.
type spoiler struct {
	spoil func(s *spoiler, n int, data []byte) []byte // of the n-th message; nil: the stream ends here
	sent  int
	at    int64 // where the message's bytes lie in the object
	head  int   // bytes of its header
	ctx   context.Context
}

// spoilt is a Server behind a spoiler.
type spoilt struct {
	*Server
	spoil atomic.Pointer[func(s *spoiler, n int, data []byte) []byte]
}

func (s *spoilt) Pages(req *apiv1.PagesRequest, stream grpc.ServerStreamingServer[apiv1.ReadReply]) error {
	f := s.spoil.Load()
	if f == nil {
		return s.Server.Pages(req, stream)
	}
	return s.Server.Pages(req, &spoiltStream{stream, &spoiler{spoil: *f, ctx: stream.Context()}})
}

type spoiltStream struct {
	grpc.ServerStreamingServer[apiv1.ReadReply]
	s *spoiler
}

func (s *spoiltStream) SendMsg(m any) error {
	reply := m.(*wire.ReadReply)
	plain := &apiv1.ReadReply{Offset: reply.Offset, Length: reply.Length}
	data := dataOf(reply)
	if s.s.sent++; s.s.sent == 1 {
		s.s.at = plain.Offset
	}
	rec, _, err := segfile.ParseRecord(data, 0, s.s.at)
	if err != nil {
		return err
	}
	s.s.head = segfile.RecordHeaderSize(rec.Length)
	defer func() { s.s.at += int64(rec.Length) }()
	if plain.Data = s.s.spoil(s.s, s.s.sent, data); plain.Data == nil {
		return status.Error(codes.Aborted, "spoilt")
	}
	return s.ServerStreamingServer.SendMsg(plain)
}

// dataOf is the data of a reply that is to be sent.
func dataOf(reply *wire.ReadReply) []byte {
	b, err := wire.Codec{}.Marshal(reply)
	if err != nil {
		panic(err)
	}
	var got wire.ReadReply
	if err := (wire.Codec{}).Unmarshal(b, &got); err != nil {
		panic(err)
	}
	defer got.Free()
	data := make([]byte, got.DataLen())
	got.CopyData(data)
	b.Free()
	return data
}

// faults are what a peer may do to pages.
var faults = map[string]func(s *spoiler, n int, data []byte) []byte{
	"flipped bit": func(_ *spoiler, _ int, data []byte) []byte {
		data[rand.IntN(len(data))] ^= 1 << rand.IntN(8)
		return data
	},
	"late bit": func(_ *spoiler, n int, data []byte) []byte {
		if n > 1 {
			data[len(data)-1] ^= 1
		}
		return data
	},
	"another version": func(s *spoiler, _ int, data []byte) []byte { // all is right about it, but that it is of another part
		n := len(data) - s.head
		return segfile.AppendRecord(nil, 0, s.at, segfile.HashPart("another").Page(s.at, int64(n)), 0, noise(1, n))[:len(data)]
	},
	"cut off":   func(_ *spoiler, _ int, data []byte) []byte { return data[:len(data)/2] },
	"too long":  func(_ *spoiler, _ int, data []byte) []byte { return append(data, data...) },
	"ends":      func(_ *spoiler, n int, data []byte) []byte { return map[bool][]byte{true: data}[n == 1] },
	"one byte":  func(*spoiler, int, []byte) []byte { return []byte{1} },
	"any bytes": func(*spoiler, int, []byte) []byte { return noise(rand.Uint64(), 1000) },
	"hangs": func(s *spoiler, n int, data []byte) []byte {
		if n > 1 {
			<-s.ctx.Done()
		}
		return data
	},
	"never begins": func(s *spoiler, _ int, data []byte) []byte {
		<-s.ctx.Done()
		return data
	},
}

// spoil puts a spoiler in the place of a node's door.
func (f *fleet) spoil(x *node) *spoilt {
	s := &spoilt{Server: x.server}
	f.stand(x, s)
	return s
}

// stand puts another door in the place of a node's, under the node's certificate.
func (f *fleet) stand(x *node, door apiv1.PeersServer) {
	t := f.t
	cert, key := f.authority.issue(t, x.name)
	identity, err := NewIdentity(cert, key, f.authority.file)
	need(t, err)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.door(func(string) bool { return true }, func(error) {}))), grpc.ForceServerCodecV2(wire.Codec{}))
	apiv1.RegisterPeersServer(server, door)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	need(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(ln) })
	t.Cleanup(func() { server.Stop(); wg.Wait() })
	f.at(x, ln.Addr().String())
}

// TestNeverAWrongByte: a peer spoils what it sends in every way, in turn and by chance, while the origin fails now and then: every read that succeeds has the
// right bytes, and reads fail for no other reason than the origin's.
func TestNeverAWrongByte(t *testing.T) {
	seed := origintest.Seed(t)
	f := newFleet(t, 2, func(_ int, o *nodeOptions) {
		o.peers.Patience, o.peers.Timeout = 5*time.Millisecond, 50*time.Millisecond
		o.cache.Memory = 1 << 20
		o.cache.FillSpan, o.cache.FillMemory, o.sidecar.FillSpan, o.sidecar.RunMemory = 1<<20, 4<<20, 1<<20, 4<<20
	})
	owner, reader := f.nodes[0], f.nodes[1]
	s := f.spoil(owner)
	path, data := f.owned(owner, 0), noise(seed, 3<<20)
	f.store.Put(path, data)
	rng := rand.New(rand.NewPCG(seed, 1))
	for name, fault := range faults {
		s.spoil.Store(&fault)
		began := time.Now()
		for range 8 {
			reader.peers.find(f.member(owner)).revive() // else the breaker would spare it all this
			reader.peers.absent.forget()
			n := 1 + rng.Int64N(600<<10)
			off := rng.Int64N(int64(len(data)) - n)
			f.mustRead(owner, path, data, off, n)
			f.mustRead(reader, path, data, off, n)
		}
		t.Logf("%s: %v a read", name, time.Since(began)/8)
	}
	if garbage, late := reader.count(t, "alio_peer_reads_total", "result", "garbage"), reader.count(t, "alio_peer_reads_total", "result", "late"); garbage < 8 || late < 2 { // how many there are depends on the order of the faults: more and more of the file is cached
		t.Errorf("%v answers that made no sense, %v late ones", garbage, late)
	}
}

// member is a node as the epoch in force has it.
func (f *fleet) member(x *node) (m ringMember) {
	slot, _ := f.source.Epoch().Find(x.name)
	return f.source.Epoch().Members()[slot]
}

// revive has a member asked again, whatever it did.
func (m *member) revive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.failures = 0
}

// TestHedge: a peer that is slower than it nearly always is does not hold a read up: the origin is asked too, and the first right answer wins. When that happens
// again and again the peer is left alone; then reads do not wait for it at all.
func TestHedge(t *testing.T) {
	f := newFleet(t, 2, func(_ int, o *nodeOptions) { o.peers.Patience, o.peers.Timeout = time.Millisecond, 20*time.Second })
	owner, reader := f.nodes[0], f.nodes[1]
	s := f.spoil(owner)
	slow := faults["never begins"]
	s.spoil.Store(&slow)
	path, data := f.owned(owner, 0), noise(1, 4<<20)
	f.store.Put(path, data)
	f.mustRead(owner, path, data, 0, int64(len(data)))
	for off := int64(0); off < 4<<20; off += 256 << 10 {
		began := time.Now()
		f.mustRead(reader, path, data, off, 256<<10)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("a read waited %v for a peer", took)
		}
	}
	if won := reader.count(t, "alio_peer_hedges_total", "winner", "origin"); won < breakAfter || won > breakAfter+4 { // a try or two after the pause, on a slow machine
		t.Errorf("the origin won %v times, and after %d the peer is left alone", won, breakAfter)
	}
	if reader.count(t, "alio_peer_left_alone") != 1 || !strings.Contains(reader.peers.Trouble()[owner.name], owner.name) || !strings.Contains(reader.log.String(), "a peer fails") {
		t.Errorf("it is not said that the peer fails: %v, %s", reader.peers.Trouble(), reader.log.String())
	}
	// It is well again, and slower than the origin no more: the try after the pause finds that out.
	s.spoil.Store(nil)
	reader.origin.Add(origintest.Rule{Op: origintest.OpRead, Effect: origintest.Delay(50 * time.Millisecond)})
	small := f.owned(owner, 1)
	f.store.Put(small, data[:300<<10])
	f.mustRead(owner, small, data, 0, 300<<10)
	until(t, "the peer is asked again", func() bool {
		f.store.Put(small, data[:300<<10])
		f.mustRead(owner, small, data, 0, 300<<10)
		need(t, reader.Invalidate("lake", small, false))
		_, err := reader.Stat(t.Context(), "lake", small)
		need(t, err)
		f.mustRead(reader, small, data, 0, 300<<10)
		return reader.count(t, "alio_peer_read_bytes_total") > 0
	})
}

// TestPeerSavesAFailedOrigin: the origin fails while the peer is only slow: the peer's bytes are the answer.
func TestPeerSavesAFailedOrigin(t *testing.T) {
	f := newFleet(t, 2, func(_ int, o *nodeOptions) { o.peers.Patience = time.Millisecond })
	owner, reader := f.nodes[0], f.nodes[1]
	s := f.spoil(owner)
	release := make(chan struct{})
	wait := func(s *spoiler, _ int, data []byte) []byte {
		select {
		case <-release:
		case <-s.ctx.Done():
		}
		return data
	}
	s.spoil.Store(&wait)
	path, data := f.owned(owner, 0), noise(1, 1<<20)
	f.store.Put(path, data)
	f.mustRead(owner, path, data, 0, 1<<20)
	_, err := reader.Stat(t.Context(), "lake", path)
	need(t, err)
	reader.origin.Add(origintest.Rule{Op: origintest.OpRead, Effect: origintest.Fail(origin.ErrUnavailable)})
	go func() {
		for len(reader.origin.Calls(origintest.OpRead)) == 0 {
			select {
			case <-t.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
		close(release)
	}()
	f.mustRead(reader, path, data, 0, 1<<20)
	if reader.count(t, "alio_peer_hedges_total", "winner", "peer") != 1 {
		t.Error("it is not counted that the peer won")
	}
}

// TestHalfOpen: a peer that takes connections and says nothing, and one that takes none, cost reads a short wait until they are left alone.
func TestHalfOpen(t *testing.T) {
	f := newFleet(t, 2, func(_ int, o *nodeOptions) { o.peers.Patience = time.Millisecond })
	owner, reader := f.nodes[0], f.nodes[1]
	path, data := f.owned(owner, 0), noise(1, 4<<20)
	f.store.Put(path, data)
	f.mustRead(owner, path, data, 0, 1<<20)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	need(t, err)
	defer ln.Close()
	for name, address := range map[string]string{"silent": ln.Addr().String(), "closed": "127.0.0.1:1"} {
		f.at(owner, address)
		began := time.Now()
		for off := int64(0); off < 4<<20; off += 512 << 10 {
			need(t, reader.Invalidate("lake", path, false))
			f.mustRead(reader, path, data, off, 512<<10)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: 8 reads took %v", name, took)
		}
	}
}

// TestCertificates: who shows a certificate of another authority, of another name, or none, is refused on either side, with a text that names the file and what to
// do; reads go to the origin. A certificate that is put right in its file is used without a restart.
func TestCertificates(t *testing.T) {
	other := newAuthority(t)
	ids := map[int]*Identity{}
	var certFile, keyFile string
	f := newFleet(t, 4, func(i int, o *nodeOptions) {
		switch i {
		case 1: // of another authority, which it believes
			o.identity = other.identity(t, "w1")
		case 2:
			o.identity = o.identity.as(t, "stranger")
		case 3: // the right authority, and a certificate of another
			certFile, keyFile = other.issue(t, "w3")
			var err error
			o.identity, err = NewIdentity(certFile, keyFile, o.identity.caFile)
			need(t, err)
		}
		ids[i] = o.identity
	})
	good := f.nodes[0]
	for i, want := range map[int][]string{
		1: {"w1", "is not good by", "peers.ca_file"},
		2: {"stranger", "and the member's name is", "affinity.name"},
		3: {"w3", "is not good by", "peers.ca_file"},
	} {
		bad := f.nodes[i]
		path, data := f.owned(bad, i), noise(uint64(i), 200<<10)
		f.store.Put(path, data)
		f.mustRead(bad, path, data, 0, int64(len(data)))
		m := good.peers.find(f.member(bad))
		until(t, "it is given up", func() bool {
			good.peers.absent.forget()
			need(t, good.Invalidate("lake", path, false))
			f.store.Put(path, data)
			_, err := good.Stat(t.Context(), "lake", path)
			need(t, err)
			f.mustRead(good, path, data, 0, int64(len(data)))
			return m.trouble() != nil
		})
		for _, text := range want {
			if !strings.Contains(m.trouble().Error(), text) {
				t.Errorf("w%d: %v does not say %q", i, m.trouble(), text)
			}
		}
		// And the other way round: the door of the good one refuses the bad one.
		_, err := bad.peers.find(f.member(good)).knock(t.Context())
		if err == nil || good.count(t, "alio_peer_refused_connections_total") == 0 && i != 1 {
			t.Errorf("w%d was let in: %v", i, err)
		}
	}
	if got := good.count(t, "alio_peer_read_bytes_total"); got > 0 {
		t.Errorf("%v bytes came from those who should have been refused", got)
	}
	for _, text := range []string{"was refused", "give each member one that this authority has signed"} {
		if !strings.Contains(good.log.String(), text) {
			t.Errorf("the log does not say %q: %s", text, good.log.String())
		}
	}
	right, rightKey := f.authority.issue(t, "w3")
	move(t, right, certFile)
	move(t, rightKey, keyFile)
	until(t, "the new certificate is used", func() bool {
		_, err := f.nodes[3].peers.find(f.member(good)).knock(t.Context())
		return err == nil
	})
}

func move(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	need(t, err)
	need(t, os.WriteFile(to, b, 0o600))
}

// as is another certificate of the same authority's files.
func (i *Identity) as(t *testing.T, name string) *Identity {
	t.Helper()
	a := authorities[i.caFile]
	return a.identity(t, name)
}

// knock asks a member for its time, on a connection of its own.
func (m *member) knock(ctx context.Context) (*apiv1.TellReply, error) {
	m.mu.Lock()
	m.dropLocked()
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client, err := m.client()
	if err != nil {
		return nil, err
	}
	return client.Tell(ctx, &apiv1.TellRequest{})
}

// TestIdentityFiles: files that cannot be used are named, and leave the last good ones in force.
func TestIdentityFiles(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue(t, "w0")
	for _, c := range []struct{ cert, key, ca, want string }{
		{cert + "x", key, a.file, cert + "x"}, {cert, cert, a.file, "belong together"}, {cert, key, a.file + "x", a.file + "x"}, {cert, key, key, "no certificate in it"},
	} {
		if _, err := NewIdentity(c.cert, c.key, c.ca); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v does not say %q", err, c.want)
		}
	}
	i, err := NewIdentity(cert, key, a.file)
	need(t, err)
	need(t, os.WriteFile(cert, []byte("nothing"), 0o600))
	if now, _ := i.current(); now == nil || i.Fault() == nil || fmt.Sprint(i.Names()) != "[w0]" {
		t.Errorf("%v, %v", i.Names(), i.Fault())
	}
}

// lies is a door that tells nonsense about paths.
type lies struct {
	apiv1.UnimplementedPeersServer
	known *apiv1.KnownObject
}

func (l *lies) Known(context.Context, *apiv1.KnownRequest) (*apiv1.KnownReply, error) {
	return &apiv1.KnownReply{Object: l.known}, nil
}

func (l *lies) KnownList(context.Context, *apiv1.KnownListRequest) (*apiv1.KnownListReply, error) {
	return &apiv1.KnownListReply{Listing: &apiv1.KnownListing{Prefix: "another"}}, nil
}

func (l *lies) Tell(context.Context, *apiv1.TellRequest) (*apiv1.TellReply, error) {
	return &apiv1.TellReply{}, nil // it never takes anything
}

// TestLies: what a peer tells of paths and cannot be right is not believed; the origin answers.
func TestLies(t *testing.T) {
	f := newFleet(t, 2, func(_ int, o *nodeOptions) { o.sidecar.Rules = ages(time.Minute) })
	owner, reader := f.nodes[0], f.nodes[1]
	l := &lies{}
	f.stand(owner, l)
	path := ""
	for i := 0; path == "" || reader.tellsNobody(path); i++ {
		path = fmt.Sprintf("l%d/a.bin", i)
	}
	data := noise(1, 1000)
	obj, other := f.store.Put(path, data), f.store.Put("other/b.bin", noise(2, 1000))
	part := []*apiv1.KnownPart{{Id: obj.Parts[0].ID, Length: 1000}}
	for name, known := range map[string]*apiv1.KnownObject{
		"nothing": nil, "another path": known(other.Path, &other), "no version": {Path: path, Size: 1000, Parts: part},
		"a negative size": {Path: path, Version: "v", Size: -1}, "too short parts": {Path: path, Version: "v", Size: 2000, Parts: part},
		"a client's part": {Path: path, Version: "v", Size: 1000, Parts: []*apiv1.KnownPart{{Id: `client "x"`, Length: 1000}}},
		"a negative age":  {Path: path, Version: "v", Size: 1000, Parts: part, AgeUs: -5}, "too old": {Path: path, Version: "v", Size: 1000, Parts: part, AgeUs: 61e6},
	} {
		l.known = known
		reader.peers.find(f.member(owner)).revive()
		need(t, reader.Invalidate("lake", path, false))
		got, err := reader.read(t.Context(), path, 0, 1000)
		if err != nil || string(got) != string(data) {
			t.Errorf("%s: %v", name, err)
		}
		if l, err := reader.List(t.Context(), "lake", origin.ListRequest{Prefix: folderOf(path) + "/"}); err != nil || len(l.Entries) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
