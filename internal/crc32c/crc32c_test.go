package crc32c

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func reference(crc uint32, p []byte) uint32 { return crc32.Update(crc, table, p) }

func randomBytes(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], r.Uint64())
	}
	return p[:n]
}

// The sum of every length up to some kilobytes, from every alignment within a cache line, after every sum.
func TestUpdateIsTheStandardLibrarys(t *testing.T) {
	p := randomBytes(20<<10, 1)
	r := rand.New(rand.NewPCG(2, 2))
	for n := range 18 << 10 {
		off, crc := r.IntN(64), r.Uint32()
		if got, want := Update(crc, p[off:off+n]), reference(crc, p[off:off+n]); got != want {
			t.Fatalf("%d bytes at %d after %08x: %08x, want %08x", n, off, crc, got, want)
		}
	}
	for _, n := range []int{64 << 10, 64<<10 + 255, 1 << 20} {
		p := randomBytes(n, uint64(n))
		if got, want := Update(7, p), reference(7, p); got != want {
			t.Errorf("%d bytes: %08x, want %08x", n, got, want)
		}
	}
}

// One flipped bit, wherever it is, changes the sum: no part of the message is left out.
func TestEveryBitCounts(t *testing.T) {
	p := randomBytes(9<<10, 3)
	want := Update(0, p)
	for i := range len(p) * 8 {
		p[i/8] ^= 1 << (i % 8)
		if Update(0, p) == want {
			t.Fatalf("bit %d of byte %d does not count", i%8, i/8)
		}
		p[i/8] ^= 1 << (i % 8)
	}
}

// The constants that the paper and its implementations give for the IEEE polynomial cannot be had for this one; that they do what they are for is
// shown by moving a single 128-bit piece.
func TestFoldOfOneRound(t *testing.T) {
	if !wide {
		t.Log("no AVX-512 with carry-less multiplication here: Update is the standard library's")
		return
	}
	p := randomBytes(foldBytes, 4)
	if got, want := ^fold(^uint32(9), &p[0], foldBytes, &constants), reference(9, p); got != want {
		t.Errorf("%08x, want %08x", got, want)
	}
}

// The same for four sums that are moved to the end, and with other contents in each.
func TestFuseOfOneMessage(t *testing.T) {
	if !narrow {
		t.Log("no wide carry-less multiplication here: Update is the standard library's")
		return
	}
	for _, f := range fusions {
		p := randomBytes(f.rounds*fuseBytes, 6)
		if got, want := ^fuse(^uint32(9), &p[0], f.rounds, &f.constants), reference(9, p); got != want {
			t.Errorf("%d rounds: %08x, want %08x", f.rounds, got, want)
		}
	}
}

func TestUpdateAllocatesNothing(t *testing.T) {
	p := randomBytes(64<<10, 5)
	if n := testing.AllocsPerRun(100, func() { Update(1, p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add(uint32(0), []byte("123456789"), uint16(0))
	f.Add(uint32(1), []byte{0}, uint16(3000))
	f.Fuzz(func(t *testing.T, crc uint32, p []byte, repeat uint16) {
		for len(p) > 0 && len(p) < int(repeat) {
			p = append(p, p...)
		}
		if got, want := Update(crc, p), reference(crc, p); got != want {
			t.Fatalf("%d bytes after %08x: %08x, want %08x", len(p), crc, got, want)
		}
	})
}

// Hot is 64 KiB in the processor's cache, cold is 64 KiB anywhere in 512 MiB, as pages of a cache are. The copy is what it costs to have the bytes at all.
func BenchmarkUpdate(b *testing.B) {
	const block = 64 << 10
	sums := map[string]func(p []byte) uint32{
		"alio":   func(p []byte) uint32 { return Update(0, p) },
		"stdlib": func(p []byte) uint32 { return reference(0, p) },
		"copy":   func(p []byte) uint32 { return uint32(copy(scratch[:], p)) },
	}
	big := make([]byte, 512<<20)
	for i := 0; i < len(big); i += 4096 {
		big[i] = byte(i >> 12)
	}
	if wide && narrow {
		sums["fused"] = func(p []byte) uint32 { crc, rest := updateFused(0, p); return reference(crc, rest) }
	}
	for _, name := range []string{"alio", "fused", "stdlib", "copy"} {
		sum := sums[name]
		if sum == nil {
			continue
		}
		b.Run("hot/"+name, func(b *testing.B) {
			b.SetBytes(block)
			for b.Loop() {
				sink += sum(big[:block])
			}
		})
		b.Run("cold/"+name, func(b *testing.B) {
			b.SetBytes(block)
			for b.Loop() {
				at := rand.IntN(len(big)/block) * block
				sink += sum(big[at : at+block])
			}
		})
	}
}

var (
	sink    uint32
	scratch [64 << 10]byte
)
