// Package crc32c computes CRC-32C (Castagnoli) sums as hash/crc32 does, with AVX-512 where the processor has it, and with AVX2 beside CRC32
// instructions where it has wide carry-less multiplications only. Every byte that is served is
// summed first, most often right out of the page cache, that is from memory that no processor cache holds: there the standard library's three
// interleaved streams of CRC32 instructions take twice as long as copying the bytes, and carry-less multiplications do not
// (benchmarks beside this file). Start at Update.
package crc32c

import "hash/crc32"

// table is what hash/crc32 knows the polynomial by; it answers with the processor's own instructions.
var table = crc32.MakeTable(crc32.Castagnoli)

// Update adds the bytes of p to a sum, like hash/crc32.Update with the Castagnoli table. It allocates nothing and may be called in parallel.
func Update(crc uint32, p []byte) uint32 {
	switch {
	case wide && len(p) >= leastFold:
		n := len(p) &^ (foldBytes - 1)
		crc = ^fold(^crc, &p[0], n, &constants)
		p = p[n:]
	case narrow:
		crc, p = updateFused(crc, p)
	}
	return crc32.Update(crc, table, p)
}

// updateFused adds what it can of p, and returns the rest.
func updateFused(crc uint32, p []byte) (uint32, []byte) {
	for i := range fusions {
		f := &fusions[i]
		for n := f.rounds * fuseBytes; len(p) >= n; p = p[n:] {
			crc = ^fuse(^crc, &p[0], f.rounds, &f.constants)
		}
	}
	return crc, p
}

// fuseBytes is what fuse takes in a round: 128 bytes for the vector unit, and three times 48.
const fuseBytes = 128 + 3*48

// fusion is a number of rounds and what fuse needs for so many.
type fusion struct {
	rounds    int
	constants [10]uint64
}

// fusions are for 64 KiB less 256 bytes, and for a little less than 8 KiB. In both the four parts begin at other places within 4 KiB: where they
// do not, AMD's processors take them for one another in their first cache, and are three times slower.
var fusions = [...]fusion{newFusion(240), newFusion(30)}

// newFusion computes what moves 128-bit pieces over 1024, 256 and 128 bits, as constants below, and then what moves a 32-bit sum over the whole
// message, and over its last three, two parts and one: x^(n-32), since the CRC32 instruction that follows multiplies by x^32.
func newFusion(rounds int) fusion {
	f := fusion{rounds: rounds}
	k := f.constants[:0]
	for _, t := range []int{1024, 256, 128} {
		k = append(k, reversedPower(t+32), reversedPower(t-32))
	}
	for _, bytes := range []int{fuseBytes, 3 * 48, 2 * 48, 48} {
		k = append(k, reversedPower(rounds*bytes*8-32))
	}
	return f
}

// Bytes that fold takes at a time, and from how many on it is worth its preparation.
const (
	foldBytes = 256
	leastFold = 1024
)

// constants are what a 128-bit piece of the message is multiplied by to move it over the given number of bits: for each distance t the
// polynomials x^(t+32) mod P, for the piece's low half, and x^(t-32) mod P for its high half, with their bits reversed and shifted by one, since
// CRC-32C has the first bit of the message in the lowest place. The method is of Gopal and others, "Fast CRC Computation for Generic Polynomials
// Using PCLMULQDQ Instruction" (Intel, 2009).
var constants = func() (k [10]uint64) {
	for i, t := range []int{2048, 512, 384, 256, 128} {
		k[2*i], k[2*i+1] = reversedPower(t+32), reversedPower(t-32)
	}
	return k
}()

// reversedPower is x^n modulo the polynomial, reversed and shifted by one.
func reversedPower(n int) uint64 {
	r := uint32(1) << 31 // x^0: the highest power has the lowest place
	for range n {
		carry := r & 1
		r >>= 1
		if carry != 0 {
			r ^= crc32.Castagnoli
		}
	}
	return uint64(r) << 1
}
