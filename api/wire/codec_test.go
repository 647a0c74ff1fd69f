package wire_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/api/wire"
	"github.com/alio-lake/alio/origin/origintest"
)

// scatter cuts b into buffers at random places, as frames of HTTP/2 do; free says how many are still referred to.
func scatter(rng *rand.Rand, b []byte) (s mem.BufferSlice, left func() int) {
	count := &counter{}
	for len(b) > 0 {
		n := 1 + rng.IntN(min(len(b), 5000))
		if rng.IntN(4) == 0 {
			n = min(len(b), 1+rng.IntN(3))
		}
		piece := make([]byte, n, max(n, 2048)) // large enough for gRPC to count references
		copy(piece, b)
		count.n++
		s = append(s, mem.NewBuffer(&piece, count))
		b = b[n:]
	}
	return s, func() int { return count.n }
}

type counter struct{ n int }

func (c *counter) Get(n int) *[]byte { panic("nobody takes") }
func (c *counter) Put(*[]byte)       { c.n-- }

func randomReply(rng *rand.Rand) *apiv1.ReadReply {
	r := &apiv1.ReadReply{}
	if rng.IntN(2) == 0 {
		r.Object = &apiv1.Object{Path: "t/ä" + strings.Repeat("x", rng.IntN(300)), Version: "v1", Size: rng.Int64(), ModifiedMs: -5, Etag: `"e"`}
	}
	if rng.IntN(2) == 0 {
		r.Offset, r.Length = rng.Int64(), rng.Int64N(1<<20)
	}
	if n := []int{0, 1, 900, 1025, 70_000, 1 << 20}[rng.IntN(6)]; n > 0 {
		r.Data = make([]byte, n)
		for i := 0; i < n; i += 7 {
			r.Data[i] = byte(rng.Uint32())
		}
	}
	return r
}

// What the codec writes, generated code reads; what generated code writes, the codec reads, however it is cut; every byte lent is given back once.
func TestTheWireIsProtobuf(t *testing.T) {
	seed := origintest.Seed(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	var reused wire.ReadReply
	for i := range 200 {
		want := randomReply(rng)
		freed := 0
		out := &wire.ReadReply{Object: want.Object, Offset: want.Offset, Length: want.Length}
		out.SetData(want.Data, func() { freed++ })
		sent, err := wire.Codec{}.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		text := sent.Materialize()
		sent.Free()
		if freed != 1 {
			t.Fatalf("round %d: %d bytes of data were freed %d times", i, len(want.Data), freed)
		}
		out.Free()
		var plain apiv1.ReadReply
		if err := proto.Unmarshal(text, &plain); err != nil || !proto.Equal(&plain, want) || freed != 1 {
			t.Fatalf("round %d: generated code reads %v (%v)", i, &plain, err)
		}
		text, err = proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		in, left := scatter(rng, text)
		if err := (wire.Codec{}).Unmarshal(in, &reused); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		in.Free() // as gRPC does
		if err := same(&reused, want); err != nil {
			t.Fatalf("round %d (ALIO_SEED=%d): %v", i, seed, err)
		}
		reused.Free()
		if left() != 0 {
			t.Fatalf("round %d: %d buffers were kept", i, left())
		}
	}
}

// same compares a received reply with what generated code has.
func same(got *wire.ReadReply, want *apiv1.ReadReply) error {
	data := make([]byte, got.DataLen())
	if n := got.CopyData(data); n != len(data) {
		return fmt.Errorf("%d bytes copied of %d", n, len(data))
	}
	if len(data) > 3 {
		few := make([]byte, len(data)/2)
		if n := got.CopyData(few); n != len(few) || !bytes.Equal(few, data[:n]) {
			return fmt.Errorf("a shorter copy differs")
		}
	}
	back := &apiv1.ReadReply{Object: got.Object, Offset: got.Offset, Length: got.Length, Data: data}
	w := proto.CloneOf(want)
	for _, m := range []*apiv1.ReadReply{back, w} { // what neither side knows is not compared
		m.ProtoReflect().SetUnknown(nil)
		if m.Object != nil {
			m.Object = proto.CloneOf(m.Object)
			m.Object.ProtoReflect().SetUnknown(nil)
		}
		if len(m.Data) == 0 {
			m.Data = nil
		}
	}
	if !proto.Equal(back, w) {
		return fmt.Errorf("read %v, want %v", back, w)
	}
	return nil
}

func TestOtherMessagesAreProtobuf(t *testing.T) {
	want := &apiv1.StatRequest{Mount: "lake", Path: "a"}
	b, err := wire.Codec{}.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got apiv1.StatRequest
	if err := (wire.Codec{}).Unmarshal(b, &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("%v %v", &got, err)
	}
	if _, err := (wire.Codec{}).Marshal("no message"); err == nil {
		t.Error("a string was sent")
	}
}

func TestTrackedMessages(t *testing.T) {
	for _, n := range []int{0, 10, 900, 5000, 1 << 20} {
		want := &apiv1.StatReply{Object: &apiv1.Object{Path: strings.Repeat("x", n)}}
		done := 0
		b, err := wire.Codec{}.Marshal(&wire.Tracked{Message: want, Done: func() { done++ }})
		if err != nil || n > 1024 && done != 0 {
			t.Fatalf("%d bytes: %v, done %d times before it was sent", n, err, done)
		}
		var got apiv1.StatReply
		if err := (wire.Codec{}).Unmarshal(b, &got); err != nil || !proto.Equal(&got, want) {
			t.Errorf("%d bytes: %v", n, err)
		}
		b.Free()
		if done != 1 {
			t.Errorf("%d bytes: done %d times", n, done)
		}
	}
	done := 0
	if _, err := (wire.Codec{}).Marshal(&wire.Tracked{Message: &apiv1.Object{Path: "\xff"}, Done: func() { done++ }}); err == nil || done != 1 {
		t.Errorf("%v, done %d times", err, done)
	}
}

// A reply whose object cannot be written (its path is not UTF-8) gives its data back all the same.
func TestAFailedSendFrees(t *testing.T) {
	freed := 0
	r := &wire.ReadReply{Object: &apiv1.Object{Path: "\xff"}}
	r.SetData(make([]byte, 4096), func() { freed++ })
	if _, err := (wire.Codec{}).Marshal(r); err == nil || freed != 1 {
		t.Errorf("%v, freed %d times", err, freed)
	}
}

// FuzzUnmarshal holds the hand-written reader against generated code: what one takes the other takes, and both see the same.
func FuzzUnmarshal(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 8 {
		r := randomReply(rng)
		r.Data = r.Data[:min(len(r.Data), 3000)]
		b, _ := proto.Marshal(r)
		f.Add(b)
		f.Add(append(b, b...)) // fields twice
		f.Add(b[:len(b)/2])
	}
	f.Add(protowire.AppendFixed64(protowire.AppendTag(nil, 99, protowire.Fixed64Type), 7))
	f.Add(protowire.AppendFixed32(protowire.AppendTag(nil, 2, protowire.Fixed32Type), 7)) // a known field in another form
	f.Fuzz(func(t *testing.T, b []byte) {
		in, left := scatter(rand.New(rand.NewPCG(uint64(len(b)), 2)), b)
		var got wire.ReadReply
		err := wire.Codec{}.Unmarshal(in, &got)
		in.Free()
		var want apiv1.ReadReply
		switch perr := proto.Unmarshal(b, &want); {
		case err != nil && perr == nil && !strings.Contains(err.Error(), "wire type"):
			t.Errorf("refused (%v), and generated code reads %v", err, &want)
		case err == nil && perr != nil:
			t.Errorf("taken, and generated code refuses it: %v", perr)
		case err == nil:
			if err := same(&got, &want); err != nil {
				t.Error(err)
			}
		}
		got.Free()
		if left() != 0 {
			t.Errorf("%d buffers were kept", left())
		}
	})
}
