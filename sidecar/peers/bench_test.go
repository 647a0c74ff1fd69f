package peers

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"sync"
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

// BenchmarkTLSCopy is the least that a page from another sidecar can take on this machine: the same bytes over a TLS connection with the same certificates, asked for by one byte, with nothing around them, and
// with nothing checked.
func BenchmarkTLSCopy(b *testing.B) {
	a := newAuthority(b)
	server, client := a.identity(b, "w0"), a.identity(b, "w1")
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server.door(func(string) bool { return true }, func(error) {}))
	need(b, err)
	var wg sync.WaitGroup
	data := noise(1, 1<<20)
	for _, n := range []int{64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			wg.Go(func() {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				for one := make([]byte, 1); ; {
					if _, err := io.ReadFull(conn, one); err != nil {
						return
					}
					if _, err := conn.Write(data[:n]); err != nil {
						return
					}
				}
			})
			conn, err := tls.Dial("tcp", ln.Addr().String(), client.toward("w0"))
			need(b, err)
			defer conn.Close()
			buf := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				_, err := conn.Write([]byte{1})
				need(b, err)
				_, err = io.ReadFull(conn, buf)
				need(b, err)
			}
		})
	}
	need(b, ln.Close())
	wg.Wait()
}
