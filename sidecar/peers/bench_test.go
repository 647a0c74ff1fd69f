package peers

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
)

// BenchmarkPeerRead reads what another sidecar has in memory, over TLS on loopback, every sum checked: what a fill costs that a peer answers.
func BenchmarkPeerRead(b *testing.B) {
	f := newFleet(b, 2, nil)
	owner, reader := f.nodes[0], f.nodes[1]
	path, data := f.owned(owner, 0), noise(1, 2<<20)
	obj := f.store.Put(path, data)
	if _, err := owner.read(context.Background(), path, 0, 2<<20); err != nil {
		b.Fatal(err)
	}
	at := sidecar.Place{Mount: "lake"}
	none := func(context.Context, int64, int64) (io.ReadCloser, error) {
		return nil, origin.NewError(origin.ErrUnavailable, "read", path, nil)
	}
	buf := make([]byte, 1<<20)
	for _, n := range []int64{64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			at.Space = owner.space(b)
			b.SetBytes(n)
			for b.Loop() {
				body, err := reader.peers.Read(context.Background(), at, &obj, 0, n, none)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(body, buf[:n]); err != nil {
					b.Fatal(err)
				}
				body.Close()
			}
		})
	}
}
