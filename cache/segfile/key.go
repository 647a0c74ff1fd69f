package segfile

import (
	"crypto/sha256"
	"encoding/binary"
)

// Key names the content of one page: a hash of (part id, offset in the part, length) and of nothing else. Equal keys mean equal
// bytes, for ever; so nothing needs to be invalidated for correctness. 128 bits of SHA-256: two pages that differ collide with
// probability 2^-64 among 2^32 pages, and nobody can construct a collision that matters.
type Key [16]byte

// PartKey is the hash of a part id, made once per part so that a page's key costs one short hash.
type PartKey [16]byte

// HashPart hashes a part id.
func HashPart(id string) PartKey {
	sum := sha256.Sum256([]byte(id))
	return PartKey(sum[:16])
}

// Page returns the key of the part's page at an offset within the part, of a length in bytes.
func (p PartKey) Page(offset, length int64) Key {
	var in [32]byte
	copy(in[:16], p[:])
	binary.LittleEndian.PutUint64(in[16:], uint64(offset))
	binary.LittleEndian.PutUint64(in[24:], uint64(length))
	sum := sha256.Sum256(in[:])
	return Key(sum[:16])
}

// MaxPage is the largest page, in bytes.
const MaxPage = 1 << 20
