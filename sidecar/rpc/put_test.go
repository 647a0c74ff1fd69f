package rpc

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/sidecar"
)

const gridPage = 256 << 10

// filler is a client that fills one file.
type filler struct {
	r      *rig
	client apiv1.SidecarClient
	path   string
	fill   *apiv1.ClientFill
	data   []byte
}

func (r *rig) filler(path string, data []byte) *filler {
	return &filler{r: r, client: r, path: path, data: data, fill: &apiv1.ClientFill{Kind: "etag", Version: `"x1"`, Size: int64(len(data))}}
}

// claim opens the file and wants to fill what is missing.
func (f *filler) claim(ranges ...*apiv1.Range) (*apiv1.OpenedFile, []told) {
	f.r.t.Helper()
	reply, o := f.r.open(f.client, &apiv1.OpenFile{Mount: "any", Path: f.path, Fill: f.fill, Claim: true, Ranges: ranges})
	if o.Error != nil {
		f.r.t.Fatal(o.Error)
	}
	return o, pages(f.r.t, reply, o)
}

// put makes a request of pages of the file.
func (f *filler) put(o *apiv1.OpenedFile, list ...told) *apiv1.PutRequest {
	q := &apiv1.PutRequest{Mount: "any", Path: f.path, Fill: f.fill, Token: o.GetClaim().GetToken()}
	for _, p := range list {
		key := keyOf(o, &p)
		page := &apiv1.PutPage{Offset: p.start, Key: key[:], Data: bytes.Clone(f.data[p.start:p.end])}
		page.Crc32C = sums(page)
		q.Pages = append(q.Pages, page)
	}
	return q
}

func sums(p *apiv1.PutPage) (out []uint32) {
	for d := p.Data; len(d) > 0; d = d[min(len(d), segfile.BlockSize):] {
		out = append(out, segfile.Crc(segfile.Crc(0, p.Key), d[:min(len(d), segfile.BlockSize)]))
	}
	return out
}

func count(list []told, is func(told) bool) (n int) {
	for _, p := range list {
		if is(p) {
			n++
		}
	}
	return n
}

func isGranted(p told) bool  { return p.granted }
func isClaimed(p told) bool  { return p.claimed }
func isResident(p told) bool { return p.memory || p.segment != nil }

// One client fills a file page by page; it and the others of its domain then read it, by Read and in the segments.
func TestPutAndRead(t *testing.T) {
	r := newRig(t)
	f := r.filler("t/file", random(1, 1_500_000))
	q := &apiv1.ReadRequest{Mount: "any", Path: f.path, Fill: f.fill, Offset: 100, Length: 400_000}
	_, _, err := r.read(r, q)
	wantCode(t, "before it is filled", err, codes.NotFound)
	o, list := f.claim()
	if n := count(list, isGranted); n != len(list) || n != 7 || o.Claim.DeadlineMs != 10_000 || o.FreshForUs != -1 {
		t.Fatalf("%d of %d granted, %v", n, len(list), o)
	}
	for _, p := range [][]told{list[:2], list[2:5], list[5:]} {
		reply, err := r.Put(ctxOf(t), f.put(o, p...))
		if err != nil || reply.Stored != uint32(len(p)) {
			t.Fatalf("%v, %v", reply, err)
		}
		if p[0].start == 0 { // a range of which only the beginning is here
			got, first, err := r.read(r, &apiv1.ReadRequest{Mount: "any", Path: f.path, Fill: f.fill, Length: 600_000})
			if wantCode(t, "half of it", err, codes.NotFound); len(got) != 0 || first != nil {
				t.Errorf("%d bytes were sent before the page that is missing", len(got))
			}
		}
	}
	if n := r.server.claims.held(); n != 0 {
		t.Errorf("%d pages are still claimed", n)
	}
	other := r.another() // the same user: the same domain
	for _, where := range []string{"memory", "disk"} {
		got, first, err := r.read(other, q)
		if err != nil || !bytes.Equal(got, f.data[100:400_100]) || first.Object.Version == "" || first.Object.Size != 1_500_000 {
			t.Errorf("%s: %d bytes, %v, %v", where, len(got), first, err)
		}
		r.onDisk()
	}
	reply, o := r.open(other, &apiv1.OpenFile{Mount: "any", Path: f.path, Fill: f.fill, Claim: true})
	segments := newSegmentReader(t, r.dir)
	for _, p := range pages(t, reply, o) {
		if p.segment == nil || p.granted || o.Claim != nil {
			t.Fatalf("%+v is not on disk, or was granted again", p)
		}
		got, err := segments.read(&p, keyOf(o, &p), 0, int(p.end-p.start))
		if err != nil || !bytes.Equal(got, f.data[p.start:p.end]) {
			t.Errorf("%d: %v", p.start, err)
		}
	}
	q.Version = "another"
	_, _, err = r.read(r, q)
	wantCode(t, "another version", err, codes.Aborted)
	q.Version, q.Offset = "", 1_500_000
	_, _, err = r.read(r, q)
	wantCode(t, "beyond the end", err, codes.OutOfRange)
}

// Every wrong Put is refused with an error that says why, and nothing of it is stored: not the good page beside the bad one either.
func TestPutRefuses(t *testing.T) {
	r := newRig(t)
	f := r.filler("t/file", random(1, 1_500_000))
	o, list := f.claim(&apiv1.Range{Offset: 0, Length: 3 * gridPage})
	foreign := r.filler("t/other", f.data)
	foreignOpen, foreignList := foreign.claim()
	type change func(q *apiv1.PutRequest)
	last := func(q *apiv1.PutRequest) *apiv1.PutPage { return q.Pages[len(q.Pages)-1] }
	for what, c := range map[string]struct {
		want codes.Code
		do   change
	}{
		"no file":              {codes.InvalidArgument, func(q *apiv1.PutRequest) { q.Fill = nil }},
		"a bad kind":           {codes.InvalidArgument, func(q *apiv1.PutRequest) { q.Fill = &apiv1.ClientFill{Kind: "E T", Version: "1", Size: 10} }},
		"no path":              {codes.InvalidArgument, func(q *apiv1.PutRequest) { q.Path = "" }},
		"a wrong sum":          {codes.InvalidArgument, func(q *apiv1.PutRequest) { last(q).Crc32C[3]++ }},
		"a changed byte":       {codes.InvalidArgument, func(q *apiv1.PutRequest) { last(q).Data[200_000] ^= 1 }},
		"too few sums":         {codes.InvalidArgument, func(q *apiv1.PutRequest) { last(q).Crc32C = last(q).Crc32C[:3] }},
		"sums without the key": {codes.InvalidArgument, func(q *apiv1.PutRequest) { last(q).Crc32C[0] = segfile.Crc(0, last(q).Data[:segfile.BlockSize]) }},
		"a foreign key": {codes.InvalidArgument, func(q *apiv1.PutRequest) {
			k := keyOf(foreignOpen, &foreignList[1])
			last(q).Key = k[:]
			last(q).Crc32C = sums(last(q))
		}},
		"a short key":       {codes.InvalidArgument, func(q *apiv1.PutRequest) { last(q).Key = last(q).Key[:15] }},
		"a negative offset": {codes.OutOfRange, func(q *apiv1.PutRequest) { last(q).Offset = -1 }},
		"beyond the object": {codes.OutOfRange, func(q *apiv1.PutRequest) { last(q).Offset = 1_500_000 }},
		"over the end":      {codes.OutOfRange, func(q *apiv1.PutRequest) { last(q).Offset = 1_500_000 - gridPage + 1 }},
		"the end of time":   {codes.OutOfRange, func(q *apiv1.PutRequest) { last(q).Offset = math.MaxInt64 - 5 }},
		"no data":           {codes.InvalidArgument, func(q *apiv1.PutRequest) { last(q).Data = nil }},
		"a page too large": {codes.InvalidArgument, func(q *apiv1.PutRequest) {
			q.Pages = []*apiv1.PutPage{{Data: make([]byte, 1<<20+1)}}
		}},
		"too much at once": {codes.InvalidArgument, func(q *apiv1.PutRequest) {
			q.Pages = append(f.put(o, list[:3]...).Pages, &apiv1.PutPage{Offset: 3 * gridPage, Data: make([]byte, gridPage)},
				&apiv1.PutPage{Offset: 4 * gridPage, Data: make([]byte, 1)})
		}},
		"a page twice":   {codes.InvalidArgument, func(q *apiv1.PutRequest) { q.Pages = append(q.Pages, q.Pages[0]) }},
		"no token":       {codes.InvalidArgument, func(q *apiv1.PutRequest) { q.Token = nil }},
		"a made-up one":  {codes.FailedPrecondition, func(q *apiv1.PutRequest) { q.Token = make([]byte, 16) }},
		"another file's": {codes.InvalidArgument, func(q *apiv1.PutRequest) { q.Token = foreignOpen.Claim.Token }},
		"not granted": {codes.FailedPrecondition, func(q *apiv1.PutRequest) {
			all := told{start: 3 * gridPage, end: 4 * gridPage}
			q.Pages = append(q.Pages, f.put(o, all).Pages...)
		}},
		"unaligned": {codes.FailedPrecondition, func(q *apiv1.PutRequest) {
			q.Pages = append(q.Pages, f.put(o, told{start: 2*gridPage + 1, end: 3 * gridPage}).Pages...)
		}},
		"two pages as one": {codes.FailedPrecondition, func(q *apiv1.PutRequest) { q.Pages = f.put(o, told{start: 0, end: 2 * gridPage}).Pages }},
		"another version": {codes.InvalidArgument, func(q *apiv1.PutRequest) {
			q.Fill = &apiv1.ClientFill{Kind: "etag", Version: `"x2"`, Size: q.Fill.Size}
		}},
	} {
		q := f.put(o, list[0], list[1])
		c.do(q)
		_, err := r.Put(ctxOf(t), q)
		wantCode(t, what, err, c.want)
		if what == "too much at once" && !strings.Contains(status.Convert(err).Message(), "max_put_bytes") {
			t.Errorf("%s: %v", what, err)
		}
		for _, p := range list {
			if r.cache.Has(keyOf(o, &p)) {
				t.Fatalf("%s: the page at %d was stored", what, p.start)
			}
		}
	}
	if n := value(t, r.server.metrics.put[putStored]); n != 0 {
		t.Errorf("%v pages were stored", n)
	}
	// After all that the claim still stands.
	if reply, err := r.Put(ctxOf(t), f.put(o, list[0], list[1], list[2])); err != nil || reply.Stored != 3 {
		t.Errorf("%v, %v", reply, err)
	}
	_, err := r.Put(ctxOf(t), f.put(o, list[0]))
	wantCode(t, "a page that was put already", err, codes.FailedPrecondition)
}

// One client at a time fills a page; what it does not put comes free when it goes, or gives it back.
func TestOneFillerAPage(t *testing.T) {
	r := newRig(t)
	mine := r.filler("t/file", random(1, 1_500_000))
	theirs := r.filler("t/file", mine.data)
	cc := r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	theirs.client = apiv1.NewSidecarClient(cc)
	_, list := theirs.claim(&apiv1.Range{Length: 2 * gridPage})
	if n := count(list, isGranted); n != 2 {
		t.Fatalf("%d granted", n)
	}
	o, list := mine.claim(&apiv1.Range{Length: 4 * gridPage})
	if count(list, isGranted) != 2 || count(list, isClaimed) != 2 || !list[0].claimed || !list[3].granted {
		t.Errorf("%+v", list)
	}
	again, list := mine.claim(&apiv1.Range{Length: 4 * gridPage})
	if count(list, isClaimed) != 4 || again.Claim != nil {
		t.Errorf("a second claim: %+v", list)
	}
	check(t, cc.Close())
	until(t, "the other's claims are gone with it", func() bool { return r.server.claims.held() == 2 })
	if reply, err := r.Put(ctxOf(t), mine.put(o)); err != nil || reply.Stored != 0 { // no pages: give it back
		t.Errorf("%v, %v", reply, err)
	}
	if _, list = mine.claim(&apiv1.Range{Length: 4 * gridPage}); count(list, isGranted) != 4 {
		t.Errorf("all given back, and granted are %+v", list)
	}
	_, err := r.Put(ctxOf(t), mine.put(o))
	wantCode(t, "a claim given back twice", err, codes.FailedPrecondition)
}

func TestClaimsAreBounded(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.ClaimPages = 3 })
	f := r.filler("t/file", random(1, 1_500_000))
	_, list := f.claim()
	if count(list, isGranted) != 3 || count(list, isClaimed) != 0 {
		t.Errorf("%+v", list)
	}
	if n := value(t, r.server.metrics.claimed[claimFull]); n != 4 {
		t.Errorf("%v were too many", n)
	}
}

// Claims run out, in bubble time.
func TestClaimsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{opts: Options{}}
		m, err := newMetrics(s, nil)
		check(t, err)
		c := newClaims(10*time.Second, 100)
		c.metrics = m
		file := fileID{path: "a"}
		page := func(i int) []cache.Page {
			return []cache.Page{{Start: int64(i), End: int64(i + 1), Key: cache.Key{byte(i)}}}
		}
		first, got := c.grant(&conn{}, file, page(1))
		if got[0] != claimGranted {
			t.Fatal(got)
		}
		<-time.After(6 * time.Second)
		second, _ := c.grant(&conn{}, file, page(2))
		if _, got = c.grant(&conn{}, file, page(1)); got[0] != claimTaken {
			t.Errorf("after 6 s: %v", got)
		}
		<-time.After(4 * time.Second)
		if _, err := c.check(first.token[:], file, nil); err == nil {
			t.Error("a claim of 10 s holds after 10 s")
		}
		if _, err := c.check(second.token[:], file, []cache.Key{{2}}); err != nil {
			t.Errorf("a claim of 10 s does not hold after 4: %v", err)
		}
		if _, got = c.grant(&conn{}, file, page(1)); got[0] != claimGranted || value(t, m.claimed[claimEnded]) != 1 {
			t.Errorf("after 10 s: %v", got)
		}
		if _, err := c.check(second.token[:], fileID{path: "b"}, nil); err == nil {
			t.Error("a claim on another file holds")
		}
		<-time.After(time.Minute)
		if c.held() != 0 || len(c.byToken) != 0 || c.all.Len() != 0 {
			t.Error("claims are kept after they ran out")
		}
	})
}

// Once the footer was put, the file's pages follow its structure: what was claimed before is refused with what to do, and the Put that brought the
// change about says so.
func TestPutAfterTheLayoutIsKnown(t *testing.T) {
	r := newRig(t)
	f := r.filler("t/x.parquet", parquetFile(t))
	o, list := f.claim()
	tail := list[len(list)-1]
	reply, err := r.Put(ctxOf(t), f.put(o, tail))
	if err != nil || reply.Stored != 1 || !reply.OpenAgain {
		t.Fatalf("the tail: %v, %v", reply, err)
	}
	_, err = r.Put(ctxOf(t), f.put(o, list[0]))
	wantCode(t, "a page of the grid", err, codes.FailedPrecondition)
	o, now := f.claim()
	if len(now) == len(list) || now[len(now)-1].start != tail.start || !isResident(now[len(now)-1]) {
		t.Errorf("%d pages, %d on the grid", len(now), len(list))
	}
	reply, err = r.Put(ctxOf(t), f.put(o, now[0]))
	if err != nil || reply.Stored != 1 || reply.OpenAgain {
		t.Errorf("%v, %v", reply, err)
	}
}

// Pages that one domain has put are another's only if the operator shares them.
func TestTrustDomains(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared ", shared), func(t *testing.T) {
			r := newRig(t, func(p *parts) {
				p.rpc.Shared = shared
				p.rpc.Tokens = []Token{{Name: "a", Secret: "secret-a"}, {Name: "b", Secret: "secret-b", Mounts: []string{"lake/b"}}}
			})
			address := r.listenTCP()
			f := r.filler("b/file", random(1, 300_000))
			o, list := f.claim()
			if _, err := r.Put(ctxOf(t), f.put(o, list...)); err != nil {
				t.Fatal(err)
			}
			more := r.filler("b/more", random(1, 300_000))
			held, _ := more.claim()
			for secret, want := range map[string]codes.Code{"secret-a": codes.NotFound, "secret-b": codes.NotFound} {
				c := r.withToken(address, secret)
				if shared {
					if want = codes.OK; secret == "secret-b" {
						want = codes.PermissionDenied // it may see mount lake only, below b
					}
				}
				_, _, err := r.read(c, &apiv1.ReadRequest{Mount: "any", Path: f.path, Fill: f.fill})
				wantCode(t, secret, err, want)
				_, err = c.Put(ctxOf(t), f.put(o, list[0]))
				if err == nil {
					t.Errorf("%s put with another's claim", secret)
				}
				if _, err = c.Put(ctxOf(t), more.put(held)); err == nil && !shared {
					t.Errorf("%s gave another's claim back", secret)
				}
			}
		})
	}
}

// What clients put never answers what the sidecar reads itself, nor the other way round.
func TestClientPagesAreApart(t *testing.T) {
	r := newRig(t)
	obj := r.store.Put("a", random(1, 300_000))
	f := r.filler("a", random(2, 300_000))
	f.fill.Version = obj.ETag
	reply, o := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "a", Fill: f.fill, Claim: true})
	list := pages(t, reply, o)
	q := f.put(o, list...)
	q.Mount = "lake"
	if _, err := r.Put(ctxOf(t), q); err != nil {
		t.Fatal(err)
	}
	if got, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: "a"}); err != nil || !bytes.Equal(got, random(1, 300_000)) {
		t.Errorf("the origin's file is not its own: %v", err)
	}
	for _, kind := range []string{"length+mtime", "etag"} {
		fill := &apiv1.ClientFill{Kind: kind, Version: obj.ETag, Size: 300_000}
		_, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: "a", Fill: fill})
		if want := map[string]codes.Code{"etag": codes.OK}[kind]; kind == "etag" {
			wantCode(t, kind, err, want)
		} else {
			wantCode(t, kind, err, codes.NotFound)
		}
	}
	found, err := r.side.LocateClient(context.Background(), sidecar.ClientFile{Domain: "uid:12345", Mount: "lake", Path: "a", Kind: "etag", Version: obj.ETag, Size: 300_000})
	check(t, err)
	if page, err := found.View.PageAt(0); err != nil || r.cache.Has(page.Key) {
		t.Errorf("another user sees it: %v", err)
	}
}
