package rpc

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// rawRead reads with the codec that leaves bytes where they are.
func rawRead(t testing.TB, cc *grpc.ClientConn, req *apiv1.ReadRequest) ([]byte, *apiv1.Object, error) {
	t.Helper()
	stream, err := apiv1.NewSidecarClient(cc).Read(ctxOf(t), req, grpc.ForceCodecV2(wire.Codec{}))
	check(t, err)
	var m wire.ReadReply
	var got []byte
	var obj *apiv1.Object
	defer m.Free()
	for {
		if err := stream.RecvMsg(&m); err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return got, obj, err
		}
		if obj == nil {
			obj = m.Object
		}
		at := len(got)
		got = append(got, make([]byte, m.DataLen())...)
		if m.CopyData(got[at:]) != m.DataLen() || m.DataLen() > 1<<20 {
			t.Fatalf("a message of %d bytes", m.DataLen())
		}
	}
}

// Ranges of every kind, cold, from memory and from disk, with plain generated code and with the raw codec.
func TestReadRanges(t *testing.T) {
	r := newRig(t)
	cc := r.dial("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	data := random(1, 3_000_000)
	obj := r.store.Put("t/a", data)
	size := int64(len(data))
	for _, where := range []string{"cold", "warm", "disk"} {
		if where == "disk" {
			r.onDisk()
		}
		for _, q := range []*apiv1.ReadRequest{
			{Offset: 100, Length: 50}, {Offset: 0, Length: 0}, {Offset: 1_000_000, Length: 1_500_000}, {Suffix: 49152}, {Suffix: size * 2},
			{Offset: size - 1, Length: 1 << 40}, {Offset: 5}, {Offset: 262143, Length: 2, Version: string(obj.Version), Etag: obj.ETag},
		} {
			q.Mount, q.Path = "lake", "t/a"
			off, n, err := origin.ReadRequest{Path: "t/a", Offset: q.Offset, Length: lengthOf(q), Suffix: q.Suffix}.Resolve(size)
			check(t, err)
			what := fmt.Sprintf("%s %v", where, q)
			got, first, err := r.read(r, q)
			if err != nil || !bytes.Equal(got, data[off:off+n]) {
				t.Fatalf("%s: %d bytes, %v", what, len(got), err)
			}
			if first.Offset != off || first.Length != n || first.Object.Version != string(obj.Version) || first.Object.Size != size || first.Object.Etag != obj.ETag {
				t.Errorf("%s: %v at %d+%d", what, first.Object, first.Offset, first.Length)
			}
			got, o, err := rawRead(t, cc, q)
			if err != nil || !bytes.Equal(got, data[off:off+n]) || o.GetSize() != size {
				t.Fatalf("%s: the raw codec read %d bytes, %v", what, len(got), err)
			}
		}
	}
	r.store.Put("empty", nil)
	if got, first, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: "empty"}); err != nil || len(got) != 0 || first.GetObject().GetVersion() == "" {
		t.Errorf("an empty object: %v, %v", first, err)
	}
}

func lengthOf(q *apiv1.ReadRequest) int64 {
	if q.Length == 0 {
		return origin.WholeRange
	}
	return q.Length
}

// A version that is pinned and not there any more is said so before any byte.
func TestReadOfAnotherVersionIsAborted(t *testing.T) {
	r := newRig(t, func(p *parts) { p.sidecar.Rules = []freshness.Rule{{Path: "**", MaxAge: 0}} })
	old := r.store.Put("a", random(1, 600_000))
	q := &apiv1.ReadRequest{Mount: "lake", Path: "a", Version: string(old.Version)}
	if got, _, err := r.read(r, q); err != nil || len(got) != 600_000 {
		t.Fatal(err)
	}
	r.store.Put("a", random(2, 700_000))
	got, _, err := r.read(r, q)
	wantCode(t, "the old version", err, codes.Aborted)
	if len(got) > 0 {
		t.Errorf("%d bytes were sent", len(got))
	}
	q.Version = "made-up"
	_, _, err = r.read(r, q)
	wantCode(t, "a version that never was", err, codes.Aborted)
}

func TestReadErrors(t *testing.T) {
	r := newRig(t)
	r.store.Put("a", random(1, 1000))
	for want, q := range map[codes.Code]*apiv1.ReadRequest{
		codes.NotFound:           {Mount: "lake", Path: "none"},
		codes.FailedPrecondition: {Mount: "nowhere", Path: "a"},
		codes.OutOfRange:         {Mount: "lake", Path: "a", Offset: 1000, Length: 1},
		codes.InvalidArgument:    {Mount: "lake", Path: "a", Offset: -1},
	} {
		got, _, err := r.read(r, q)
		wantCode(t, q.String(), err, want)
		if len(got) > 0 {
			t.Errorf("%v: %d bytes were sent", q, len(got))
		}
	}
	for kind, want := range kinds {
		rule := origintest.Rule{Path: "sick", Effect: origintest.Fail(kind)}
		r.origin.Add(rule)
		_, _, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: "sick", Length: 10})
		wantCode(t, kind.Error(), err, want)
		r.origin.Clear()
	}
}

// An object whose origin names no version is read through, and not told as cacheable.
func TestObjectsWithoutAVersion(t *testing.T) {
	r := newRig(t)
	data := random(3, 700_000)
	r.store.Put("a", data)
	r.store.HideVersions(true)
	got, first, err := r.read(r, &apiv1.ReadRequest{Mount: "lake", Path: "a", Offset: 300_000})
	if err != nil || !bytes.Equal(got, data[300_000:]) || first.Object.Version != "" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, f := r.open(r, &apiv1.OpenFile{Mount: "lake", Path: "a"}); f.Error != nil || f.Object.Version != "" || len(f.Extents) != 0 || f.Object.Size != 700_000 {
		t.Errorf("%v", f)
	}
}
