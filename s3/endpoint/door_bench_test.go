package endpoint

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
)

// memory is a Backend of one object in memory, whose hits cost nothing: what is measured is the door.
type memory struct {
	*fake
	name string
	obj  origin.Object
	data []byte
	page int64
	idle chan *memoryHit
}

const memoryKey = "warehouse/day=2024-02-29/part-00000.parquet"

func newMemory(size, page int) *memory {
	m := &memory{fake: newFake("lake"), name: "lake/" + memoryKey, data: make([]byte, size), page: int64(page)}
	for i := range m.data {
		m.data[i] = byte(i*7 + i>>8)
	}
	m.put("lake", memoryKey, m.data, map[string]string{"Content-Type": "binary/octet-stream", "X-Amz-Meta-Writer": "trino", "X-Amz-Checksum-Crc32c": "AAAAAA=="})
	m.obj = m.mounts["lake"][memoryKey].obj
	m.body = func(d []byte) io.ReadCloser { return hitBody{d} }
	m.idle = make(chan *memoryHit, 64)
	for range cap(m.idle) {
		m.idle <- &memoryHit{m: m}
	}
	return m
}

type memoryHit struct {
	m             *memory
	first, at, to int64
}

func (m *memory) Hit(name []byte, r HitRange, _ []byte) Hit {
	req := origin.ReadRequest{Offset: r.Offset, Length: r.Length, Suffix: r.Suffix}
	off, n, err := req.Resolve(m.obj.Size)
	if string(name) != m.name || err != nil || n == 0 {
		return nil
	}
	h := <-m.idle
	h.first, h.at, h.to = off, off, off+n
	return h
}

func (h *memoryHit) Object() *origin.Object { return &h.m.obj }
func (h *memoryHit) Range() (int64, int64)  { return h.first, h.to - h.first }
func (h *memoryHit) Close()                 { h.m.idle <- h }
func (h *memoryHit) Next(context.Context) ([]byte, error) {
	end := min(h.to, h.at+h.m.page)
	page := h.m.data[h.at:end]
	h.at = end
	return page, nil
}

// rawGET is a ranged GET as an SDK sends it, as bytes.
func rawGET(length int, signed bool) []byte {
	r, _ := http.NewRequest("GET", "http://localhost:9000/lake/"+strings.ReplaceAll(memoryKey, "=", "%3D")+"?x-id=GetObject", nil)
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", 4096, 4096+length-1))
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.26 md/GOOS#linux md/GOARCH#amd64 api/s3#1.88.3 m/E,e")
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("Amz-Sdk-Invocation-Id", "9c5ef1b0-7c0f-4f3e-9d4e-4a2f0f0c1d11")
	r.Header.Set("Amz-Sdk-Request", "attempt=1; max=3")
	r.Header.Set("X-Amz-Checksum-Mode", "ENABLED")
	if signed {
		r.Header.Set("X-Amz-Date", time.Now().UTC().Format(amzDateLayout))
		r.Header.Set("X-Amz-Content-Sha256", emptySHA256)
		r.Header.Set("Authorization", authorization(r, r.URL.EscapedPath(), query{{"x-id", "GetObject"}},
			"accept-encoding;amz-sdk-invocation-id;amz-sdk-request;host;range;x-amz-checksum-mode;x-amz-content-sha256;x-amz-date"))
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// startDoor serves until the test ends.
func startDoor(tb testing.TB, o DoorOptions) (*Door, string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return startDoorOn(tb, o, l), l.Addr().String()
}

func startDoorOn(tb testing.TB, o DoorOptions, l net.Listener) *Door {
	tb.Helper()
	d, err := NewDoor(o)
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve(l) }()
	tb.Cleanup(func() {
		d.Close()
		if err := <-served; err != http.ErrServerClosed {
			tb.Errorf("Serve: %v", err)
		}
	})
	return d
}

// rawClient asks the same over and over. It allocates nothing once it has seen one answer.
type rawClient struct {
	conn    net.Conn
	request []byte
	buf     []byte // of one whole answer
}

func newRawClient(tb testing.TB, addr string, request []byte, body []byte) *rawClient {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	if _, err := conn.Write(request); err != nil {
		tb.Fatal(err)
	}
	var seen bytes.Buffer
	br := bufio.NewReader(io.TeeReader(conn, &seen))
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
		tb.Fatalf("%v: %d bytes, %v", resp.Status, len(got), err)
	}
	return &rawClient{conn: conn, request: request, buf: make([]byte, seen.Len())}
}

func (c *rawClient) once() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	_, err := io.ReadFull(c.conn, c.buf)
	return err
}

// floor answers every n bytes with the same bytes from memory.
func floor(tb testing.TB, n int, head, body []byte) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	tb.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				in := make([]byte, n)
				for {
					if _, err := io.ReadFull(conn, in); err != nil {
						return
					}
					b := net.Buffers{head, body}
					if _, err := b.WriteTo(conn); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// BenchmarkDoor compares a raw copy over TCP, the lean way and net/http's, in one run, with one connection and with 16.
func BenchmarkDoor(b *testing.B) {
	for _, size := range []int{64 << 10, 1 << 20} {
		m := newMemory(size+8192, 1<<20)
		body := m.data[4096 : 4096+size]
		for _, way := range []string{"floor", "lean", "lean-signed", "nethttp", "nethttp-signed"} {
			signed := strings.HasSuffix(way, "signed")
			request := rawGET(size, signed)
			var addr string
			if way == "floor" {
				head := []byte(fmt.Sprintf("HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nX-Pad: %s\r\n\r\n", size, strings.Repeat("x", 300)))
				addr = floor(b, len(request), head, body)
			} else {
				o := Options{Backend: m}
				if signed {
					o.Credentials = []Credential{{AccessKeyID: testKey, SecretAccessKey: testSecret}}
				}
				_, addr = startDoor(b, DoorOptions{Handler: newHandler(b, o), General: strings.HasPrefix(way, "nethttp")})
			}
			for _, conns := range []int{1, 16} {
				b.Run(fmt.Sprintf("%dKiB/conns=%d/%s", size>>10, conns, way), func(b *testing.B) {
					benchDoor(b, addr, request, body, conns)
				})
			}
		}
	}
}

func benchDoor(b *testing.B, addr string, request, body []byte, conns int) {
	clients := make([]*rawClient, conns)
	for i := range clients {
		clients[i] = newRawClient(b, addr, request, body)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs() // client and server
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range clients {
		n := b.N / conns
		if i < b.N%conns {
			n++
		}
		wg.Go(func() {
			for range n {
				if err := c.once(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
