package bench

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
	"github.com/alio-lake/alio/client"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
)

// DialGRPC makes a Reader of the gRPC door's Read: on the Unix socket, on a connection of its own, with the codec that copies the bytes once, to where the
// caller wants them.
func (s *Sidecar) DialGRPC(maxBytes int) (load.Reader, error) {
	conn, err := grpc.NewClient("unix:"+s.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &grpcReader{conn: conn, stub: apiv1.NewSidecarClient(conn), data: s.Data, ctx: ctx, cancel: cancel, buf: make([]byte, maxBytes)}, nil
}

// grpcReader belongs to one goroutine, but for Interrupt.
type grpcReader struct {
	conn    *grpc.ClientConn
	stub    apiv1.SidecarClient
	data    load.Data
	ctx     context.Context // of every call
	cancel  context.CancelFunc
	request apiv1.ReadRequest
	reply   wire.ReadReply
	buf     []byte
}

func (r *grpcReader) Prepare(at int64, n int) error {
	r.request.Mount, r.request.Path = Mount, r.data.Name(int(at/r.data.ObjectSize))
	r.request.Offset, r.request.Length = at%r.data.ObjectSize, int64(n)
	return nil
}

func (r *grpcReader) Read() ([]byte, error) {
	stream, err := r.stub.Read(r.ctx, &r.request, grpc.ForceCodecV2(wire.Codec{}))
	if err != nil {
		return nil, err
	}
	defer r.reply.Free()
	want, done := int(r.request.GetLength()), 0
	for {
		err := stream.RecvMsg(&r.reply)
		if errors.Is(err, io.EOF) {
			return r.buf[:done], nil
		}
		if err != nil {
			return nil, err
		}
		if r.reply.DataLen() > want-done {
			return nil, fmt.Errorf("the sidecar sends more than the %d bytes that were asked for", want)
		}
		done += r.reply.CopyData(r.buf[done:want])
	}
}

// Interrupt implements load.Interrupter.
func (r *grpcReader) Interrupt() { r.cancel() }

func (r *grpcReader) Close() error {
	r.cancel()
	return r.conn.Close()
}

// Local is the Go client on a sidecar, with every object of the data set open, as one engine process has it: all readers share it.
type Local struct {
	data     load.Data
	client   *client.Client
	files    []*client.File
	registry *prometheus.Registry
}

// OpenLocal opens it.
func (s *Sidecar) OpenLocal(ctx context.Context) (*Local, error) {
	l := &Local{data: s.Data, registry: prometheus.NewRegistry()}
	var err error
	if l.client, err = client.New(client.Options{Address: s.Socket, Directories: []string{s.Dir}, Registerer: l.registry}); err != nil {
		return nil, err
	}
	for i := range s.Data.Objects() {
		f, err := l.client.Open(ctx, Mount, s.Data.Name(i), client.OpenOptions{})
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.files = append(l.files, f)
	}
	return l, nil
}

// Dial makes a Reader.
func (l *Local) Dial(maxBytes int) load.Reader {
	return &localReader{l: l, buf: make([]byte, maxBytes)}
}

// Remote is how many bytes came by another way than a segment file so far.
func (l *Local) Remote() (n int64, err error) {
	families, err := l.registry.Gather()
	for _, f := range families {
		if f.GetName() != "alio_client_read_bytes_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() != "local" {
				n += int64(m.GetCounter().GetValue())
			}
		}
	}
	return n, err
}

// Close lets go of everything.
func (l *Local) Close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(append(errs, l.client.Close())...)
}

type localReader struct {
	l    *Local
	file *client.File
	off  int64
	n    int
	buf  []byte
}

func (r *localReader) Prepare(at int64, n int) error {
	r.file, r.off, r.n = r.l.files[at/r.l.data.ObjectSize], at%r.l.data.ObjectSize, n
	return nil
}

func (r *localReader) Read() ([]byte, error) {
	n, err := r.file.ReadAt(r.buf[:r.n], r.off)
	return r.buf[:n], err
}

func (r *localReader) Close() error { return nil }

// doors are the ways to a warm sidecar that one Read measures.
type doors struct {
	paths map[string]door
	local *Local // nil: not measured
}

// door makes Readers of one path.
type door struct {
	dial   func(maxBytes int) (load.Reader, error)
	served bool // by the sidecar's process, whose allocations are then counted
}

// openDoors opens those of the paths.
func openDoors(ctx context.Context, s *Sidecar, places *Places, paths []string) (d *doors, err error) {
	d = &doors{paths: map[string]door{}}
	for _, path := range paths {
		switch path {
		case PathPread:
			d.paths[path] = door{dial: places.Dial}
		case PathS3:
			d.paths[path] = door{dial: s.DialS3, served: true}
		case PathGRPC:
			d.paths[path] = door{dial: s.DialGRPC, served: true}
		case PathLocal:
			if d.local, err = s.OpenLocal(ctx); err != nil {
				return nil, s.explain(fmt.Errorf("open the data set by the Go client: %w", err))
			}
			d.paths[path] = door{dial: func(n int) (load.Reader, error) { return d.local.Dial(n), nil }}
		}
	}
	return d, nil
}

func (d *doors) of(path string) door { return d.paths[path] }

// remote is how many bytes of "local" reads did not come from segment files.
func (d *doors) remote() (int64, error) {
	if d.local == nil {
		return 0, nil
	}
	return d.local.Remote()
}

func (d *doors) close() error {
	if d.local == nil {
		return nil
	}
	return d.local.Close()
}
