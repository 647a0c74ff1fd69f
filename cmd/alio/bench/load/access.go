package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// Access says how readers choose what to read next.
type Access string

// The ways to choose. Zipf's exponent is 1.1: the hottest hundredth of 8,192 blocks then gets about two thirds of the reads.
const (
	Uniform Access = "uniform"
	Zipf    Access = "zipf"
)

// zipfExponent must be above 1.
const zipfExponent = 1.1

// Ranges draws the ranges that one reader asks for: blocks of one size, aligned to it, each within one object. It belongs to one goroutine.
type Ranges struct {
	data   Data
	bytes  int64
	per    int64 // blocks in a whole object
	blocks int64
	stride int64 // spreads Zipf's ranks over the data set
	rng    *rand.Rand
	zipf   *rand.Zipf // nil: uniform
}

// NewRanges draws from d in blocks of a size that d's objects hold at least once. Equal seeds draw equal ranges.
func NewRanges(d Data, bytes int, access Access, seed uint64) (*Ranges, error) {
	r := &Ranges{data: d, bytes: int64(bytes), rng: rand.New(rand.NewPCG(seed, d.Seed))}
	if bytes <= 0 || bytes%wordSize != 0 || int64(bytes) > d.ObjectSize {
		return nil, fmt.Errorf("reads of %d bytes from objects of %d: must be a multiple of %d that an object holds", bytes, d.ObjectSize, wordSize)
	}
	r.per = d.ObjectSize / r.bytes
	r.blocks = int64(d.Size/d.ObjectSize)*r.per + d.Size%d.ObjectSize/r.bytes
	if r.blocks == 0 {
		return nil, errors.New("the data set is smaller than one read")
	}
	switch access {
	case Uniform:
	case Zipf:
		r.zipf = rand.NewZipf(r.rng, zipfExponent, 1, uint64(r.blocks-1))
		for r.stride = r.blocks*5/8 | 1; gcd(r.stride, r.blocks) != 1; {
			r.stride += 2
		}
	default:
		return nil, fmt.Errorf("access %q is neither %s nor %s", access, Uniform, Zipf)
	}
	return r, nil
}

// SeedOf is the seed of one of a cell's readers, counted from 0.
func SeedOf(cell uint64, reader int) uint64 { return cell + uint64(reader)<<32 }

// Next is the place of the next read.
func (r *Ranges) Next() int64 {
	var block int64
	if r.zipf == nil {
		block = r.rng.Int64N(r.blocks)
	} else {
		block = int64(r.zipf.Uint64()) * r.stride % r.blocks
	}
	return block/r.per*r.data.ObjectSize + block%r.per*r.bytes
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
