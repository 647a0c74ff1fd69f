package ring

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"testing"
)

// rich is a small epoch with everything in it, and the one before it.
func rich(t testing.TB) (before, e *Epoch) {
	before = newEpoch(t, Settings{Zones: zoneNames(3), Partitions: 128}, fleet(0, 7, 3))
	members := before.members
	out, away, heavy := members[1], members[4], members[5]
	out.Excluded, away.Draining, heavy.Weight = true, true, 3
	heavy.Sidecar, heavy.Worker = "10.1.2.3:4380", "worker-5.example.com:8080"
	e = apply(t, before, Change{Update: []Member{out, away, heavy}, Join: fleet(7, 2, 3), Leave: []string{"worker-00000"}, Hot: []Hot{{42, 5}, {1 << 63, 2}}})
	return before, e
}

// TestEveryBitIsChecked: an encoding, a difference or a chunk with one bit changed, or cut anywhere, is refused.
func TestEveryBitIsChecked(t *testing.T) {
	before, e := rich(t)
	encoded, diff := e.Encode(), Diff(before, e)
	chunks, err := Chunks(encoded, 1024)
	need(t, err)
	read := map[string]func(b []byte) error{
		"epoch":      func(b []byte) error { return second(Decode(b)) },
		"difference": func(b []byte) error { return second(before.Patch(b)) },
		"chunk":      func(b []byte) error { return second(Join(append([][]byte{b}, chunks[1:]...))) },
	}
	for what, b := range map[string][]byte{"epoch": encoded, "difference": diff, "chunk": chunks[0]} {
		need(t, read[what](b))
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << (i % 8)
			if err := read[what](bad); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s with byte %d changed: %v", what, i, err)
			}
			if err := read[what](b[:i]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut at %d: %v", what, i, err)
			}
		}
	}
}

// resealed makes a hash match again, so that what is behind it is tried.
func resealed(b []byte) []byte {
	b = bytes.Clone(b[:len(b)-sha256.Size])
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// TestChecksBehindTheHash: bytes with a right hash and wrong content are refused, or are an epoch with this one encoding that keeps every promise.
func TestChecksBehindTheHash(t *testing.T) {
	_, e := rich(t)
	encoded := e.Encode()
	r := rand.New(rand.NewPCG(seed(t), 0))
	accepted := 0
	for range 20000 {
		bad := bytes.Clone(encoded)
		for range 1 + r.IntN(3) {
			bad[9+r.IntN(len(bad)-9-sha256.Size)] ^= 1 << r.IntN(8)
		}
		bad = resealed(bad)
		got, err := Decode(bad)
		if err == nil {
			accepted++
			if !bytes.Equal(got.Encode(), bad) {
				t.Fatal("an epoch has two encodings")
			}
		} else if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	}
	t.Logf("%d of 20000 were epochs, as where a name, an address or a number changes", accepted)
}

// TestPatchNeedsItsEpoch: a difference applies to the epoch that it comes from only.
func TestPatchNeedsItsEpoch(t *testing.T) {
	before, e := rich(t)
	diff := Diff(before, e)
	if _, err := e.Patch(diff); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a difference from another epoch: %v", err)
	}
	if _, err := before.Patch(e.Encode()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an epoch for a difference: %v", err)
	}
	if _, err := Decode(diff); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a difference for an epoch: %v", err)
	}
}

func TestChunks(t *testing.T) {
	before, e := rich(t)
	encoded := e.Encode()
	for _, size := range []int{0, 1024, 1025, 4096, 1 << 20} {
		chunks, err := Chunks(encoded, size)
		need(t, err)
		for _, c := range chunks {
			if len(c) > max(size, 1024) {
				t.Errorf("a chunk of %d bytes, and %d is the limit", len(c), size)
			}
		}
		rand.Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
		got, err := Join(chunks)
		need(t, err)
		if !bytes.Equal(got, encoded) {
			t.Error("chunks joined are something else")
		}
		if len(chunks) < 2 {
			continue
		}
		other, err := Chunks(before.Encode(), size)
		need(t, err)
		for what, bad := range map[string][][]byte{"missing": chunks[1:], "twice": append(chunks[1:len(chunks):len(chunks)], chunks[1]), "mixed": append(other[:1:1], chunks[1:]...)} {
			if _, err := Join(bad); !errors.Is(err, ErrCorrupt) {
				t.Errorf("a chunk %s: %v", what, err)
			}
		}
	}
	for _, bad := range [][][]byte{nil, {nil}, {[]byte("ALIOpart")}} {
		if _, err := Join(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := Chunks(nil, 1024); !errors.Is(err, ErrInvalid) {
		t.Errorf("chunks of nothing: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	before, e := rich(f)
	for _, epoch := range []*Epoch{before, e, newEpoch(f, Settings{Partitions: 64}, nil)} {
		b := epoch.Encode()
		f.Add(b[:len(b)-sha256.Size])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = resealed(append(bytes.Clone(b), make([]byte, sha256.Size)...))
		got, err := Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(got.Encode(), b) {
			t.Error("an epoch has two encodings")
		}
		for k := 1; k <= got.Most(); k++ {
			if owners, err := got.Owners(uint64(len(b))*golden, k); err != nil || len(owners) < k {
				t.Errorf("%d owners of %d: %v", len(owners), k, err)
			}
		}
		if _, err := got.Apply(Change{}); err != nil {
			t.Errorf("an epoch that was read cannot be changed: %v", err)
		}
	})
}

func FuzzPatch(f *testing.F) {
	before, e := rich(f)
	f.Add(Diff(before, e))
	f.Add(Diff(before, before))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := before.Patch(b); err == nil && !bytes.Equal(Diff(before, got), b) {
			t.Error("two differences lead to one epoch")
		}
	})
}

func FuzzKey(f *testing.F) {
	e := newEpoch(f, Settings{}, fleet(0, 3, 0))
	f.Add("lake", "a//b", int64(5))
	f.Fuzz(func(t *testing.T, mount, path string, offset int64) {
		key, err := e.Key(Split{mount, path, offset})
		if err != nil {
			return
		}
		b, err := appendPath(nil, path)
		need(t, err)
		if again, err := e.Key(Split{mount, string(b), offset}); err != nil || again != key {
			t.Errorf("%q is not canonical: %v", b, err)
		}
	})
}
