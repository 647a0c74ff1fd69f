package rpc

import (
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
	"github.com/alio-lake/alio/cache/disk"
	"github.com/alio-lake/alio/internal/access"
)

// BenchmarkRead is a warm read over the Unix socket, from memory and from the disk tier, by a client with plain generated code and by one with the raw codec.
func BenchmarkRead(b *testing.B) {
	r := newRig(b, func(p *parts) { p.disk = disk.Options{} }) // memory only
	onDisk := newRig(b)
	for _, where := range []struct {
		name string
		rig  *rig
	}{{"memory", r}, {"disk", onDisk}} {
		r := where.rig
		obj := r.store.Put("a", random(1, 8<<20))
		if _, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: "a"}); err != nil {
			b.Fatal(err)
		}
		if where.name == "disk" {
			r.onDisk()
		}
		cc := r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		for _, n := range []int64{64 << 10, 1 << 20} {
			q := &apiv1.ReadRequest{Mount: "lake", Path: "a", Offset: 1 << 20, Length: n, Version: string(obj.Version), Etag: obj.ETag}
			b.Run(fmt.Sprintf("%s/%dKiB/plain", where.name, n>>10), func(b *testing.B) { benchRead(b, cc, q, false) })
			b.Run(fmt.Sprintf("%s/%dKiB/raw", where.name, n>>10), func(b *testing.B) { benchRead(b, cc, q, true) })
		}
	}
}

func benchRead(b *testing.B, cc *grpc.ClientConn, q *apiv1.ReadRequest, raw bool) {
	b.SetBytes(q.Length)
	b.ReportAllocs()
	dst := make([]byte, q.Length)
	client := apiv1.NewSidecarClient(cc)
	ctx := b.Context()
	for b.Loop() {
		got := 0
		if raw {
			stream, err := client.Read(ctx, q, grpc.ForceCodecV2(wire.Codec{}))
			check(b, err)
			var m wire.ReadReply
			for stream.RecvMsg(&m) == nil {
				got += m.CopyData(dst[got:])
				m.Free()
			}
		} else {
			stream, err := client.Read(ctx, q)
			check(b, err)
			for {
				m, err := stream.Recv()
				if err != nil {
					break
				}
				got += copy(dst[got:], m.Data)
			}
		}
		if got != len(dst) {
			b.Fatalf("%d bytes", got)
		}
	}
}

// BenchmarkOpen is an Open of one file with so many pages, all of them on disk: the whole call, and the server's part alone.
func BenchmarkOpen(b *testing.B) {
	r := newRig(b, func(p *parts) { p.disk.Size = 1 << 30 })
	for _, n := range []int64{1, 1000} {
		path := fmt.Sprintf("f%d", n)
		r.store.Put(path, random(uint64(n), int(n)*gridPage))
		if _, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: path}); err != nil {
			b.Fatal(err)
		}
		r.onDisk()
		req := &apiv1.OpenRequest{Files: []*apiv1.OpenFile{{Mount: "lake", Path: path}}}
		b.Run(fmt.Sprintf("call/%dpages", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Open(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("server/%dpages", n), func(b *testing.B) {
			b.ReportAllocs()
			x := &call{s: r.server, id: r.server.identity("user", "uid:0", access.Everything()), conn: &conn{s: r.server}}
			for b.Loop() {
				reply := &apiv1.OpenReply{}
				found, err := r.server.locateAll(b.Context(), x, req.Files)
				check(b, err)
				t := teller{s: r.server, x: x, reply: reply, left: r.server.opts.OpenPages}
				f, err := t.tell(b.Context(), req.Files[0], &found[0])
				if err != nil || int64(t.counts.placed) < n {
					b.Fatalf("%d pages on disk, %v, %v", t.counts.placed, f.Error, err)
				}
			}
		})
	}
}
