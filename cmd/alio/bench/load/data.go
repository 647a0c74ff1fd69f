package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Unit is what sizes and places of a data set are multiples of, in bytes.
const Unit = 4096

// wordSize is how many bytes follow from one place.
const wordSize = 8

// Data is a data set of Size bytes, cut into objects of ObjectSize (the last may be shorter). Its byte at a place is a function of the place and Seed
// alone, so whoever knows where an answer should come from can check it with nothing at hand. Places count through all objects. A Data is a value,
// and safe for parallel use.
type Data struct {
	Seed       uint64
	Size       int64
	ObjectSize int64
}

// Validate reports every fault at once.
func (d Data) Validate() error {
	var errs []error
	if d.Size <= 0 || d.Size%Unit != 0 {
		errs = append(errs, fmt.Errorf("data set of %d bytes: must be a multiple of %d above 0", d.Size, Unit))
	}
	if d.ObjectSize <= 0 || d.ObjectSize%Unit != 0 {
		errs = append(errs, fmt.Errorf("objects of %d bytes: must be a multiple of %d above 0", d.ObjectSize, Unit))
	}
	return errors.Join(errs...)
}

// Objects is how many there are.
func (d Data) Objects() int { return int((d.Size + d.ObjectSize - 1) / d.ObjectSize) }

// Name is an object's path within its bucket.
func (d Data) Name(object int) string { return fmt.Sprintf("data-%05d", object) }

// SizeOf is an object's size.
func (d Data) SizeOf(object int) int64 { return min(d.ObjectSize, d.Size-int64(object)*d.ObjectSize) }

// Fill writes the bytes from place at on into p. at is a multiple of 8.
func (d Data) Fill(p []byte, at int64) {
	n := uint64(at / wordSize)
	for ; len(p) >= wordSize; p = p[wordSize:] {
		binary.LittleEndian.PutUint64(p, mix(n^d.Seed))
		n++
	}
	if len(p) > 0 {
		var last [wordSize]byte
		binary.LittleEndian.PutUint64(last[:], mix(n^d.Seed))
		copy(p, last[:])
	}
}

// Check compares all of p with the bytes from place at on, a multiple of 8. It costs about 1 ns for each 8 bytes.
func (d Data) Check(p []byte, at int64) error {
	n := uint64(at / wordSize)
	for len(p) >= wordSize {
		if binary.LittleEndian.Uint64(p) != mix(n^d.Seed) {
			return d.wrong(p[:wordSize], n)
		}
		n++
		p = p[wordSize:]
	}
	if len(p) > 0 {
		var last [wordSize]byte
		copy(last[:], p)
		if (binary.LittleEndian.Uint64(last[:])^mix(n^d.Seed))<<(8*(wordSize-len(p))) != 0 {
			return d.wrong(p, n)
		}
	}
	return nil
}

// wrong words what is wrong with word n, of which p holds the first bytes.
func (d Data) wrong(p []byte, n uint64) error {
	want := make([]byte, len(p))
	d.Fill(want, int64(n*wordSize))
	return fmt.Errorf("wrong bytes: place %d should hold %x and holds %x", n*wordSize, want, p)
}

// Glance compares three words of p (the first, one in the middle, the last) with the bytes from place at on. It costs nanoseconds, and finds an answer
// of another place, a short one and a stale buffer. len(p) is a multiple of 8 above 0.
func (d Data) Glance(p []byte, at int64) error {
	if len(p) < wordSize {
		return fmt.Errorf("wrong bytes: an answer of %d bytes", len(p))
	}
	last := (len(p) - wordSize) &^ (wordSize - 1)
	for _, i := range [3]int{0, (last / 2) &^ (wordSize - 1), last} {
		if n := uint64(at+int64(i)) / wordSize; binary.LittleEndian.Uint64(p[i:]) != mix(n^d.Seed) {
			return d.wrong(p[i:i+wordSize], n)
		}
	}
	return nil
}

// Place tells at which place a run of bytes starts, by its first 8 bytes; ok is false for bytes that are not of this data set. A caller checks the
// rest of the run.
func (d Data) Place(p []byte) (at int64, ok bool) {
	if len(p) < wordSize {
		return 0, false
	}
	n := unmix(binary.LittleEndian.Uint64(p)) ^ d.Seed
	if n >= uint64(d.Size)/wordSize {
		return 0, false
	}
	return int64(n) * wordSize, true
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): a bijection whose values look random.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unmix undoes mix: the factors' inverses modulo 2^64, and each xor-shift repeated until all bits are back.
func unmix(z uint64) uint64 {
	z = (z ^ z>>31 ^ z>>62) * inverse(0x94d049bb133111eb)
	z = (z ^ z>>27 ^ z>>54) * inverse(0xbf58476d1ce4e5b9)
	return z ^ z>>30 ^ z>>60
}

// inverse is the multiplicative inverse of an odd number modulo 2^64, by Newton's iteration: each round doubles the bits that are right, of
// which the first guess has three.
func inverse(a uint64) uint64 {
	x := a
	for range bits.Len(64) {
		x *= 2 - a*x
	}
	return x
}
