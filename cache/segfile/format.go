package segfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/alio-lake/alio/internal/crc32c"
)

// The sizes of the segment format, in bytes. FORMAT.md draws what they mean.
const (
	FormatVersion = 1
	Align         = 64       // records start at multiples of it
	BlockSize     = 64 << 10 // what one checksum covers
	HeaderSize    = 64       // of a segment
	EntrySize     = 32       // of the footer's index
	TrailerSize   = 64
	recordFixed   = 32 // of a record's header, before the sums
)

// The magic numbers. A TrailerMagic at the right place is what an index is first looked for by.
var (
	segmentMagic = [8]byte{'A', 'L', 'I', 'O', 'S', 'E', 'G', 0}
	TrailerMagic = [8]byte{'A', 'L', 'I', 'O', 'E', 'N', 'D', 0}
	recordMagic  = [4]byte{'A', 'L', 'p', 'g'}
)

// What a segment can be wrong with. No reader of pages ever sees them.
var (
	ErrUnknownFormat = errors.New("segment of an unknown format version")
	ErrDamaged       = errors.New("segment is damaged")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Crc continues a CRC32C over b.
func Crc(seed uint32, b []byte) uint32 { return crc32c.Update(seed, b) }

var le = binary.LittleEndian

// Header is what a segment file starts with.
type Header struct {
	Instance uint64 // random, drawn at each start of a process
	Seq      uint64 // greater than that of every segment that was there before
	Created  int64  // seconds since 1970; told to people, used for nothing
	Stream   uint8  // whose pages it was made for; a hint for eviction
}

// Encode makes the header's bytes.
func (h Header) Encode() []byte {
	b := make([]byte, HeaderSize)
	copy(b, segmentMagic[:])
	le.PutUint32(b[8:], FormatVersion)
	le.PutUint32(b[12:], HeaderSize)
	le.PutUint64(b[16:], h.Instance)
	le.PutUint64(b[24:], h.Seq)
	le.PutUint64(b[32:], uint64(h.Created))
	b[40] = h.Stream
	le.PutUint32(b[60:], Crc(0, b[:60]))
	return b
}

// ParseHeader reads a header. The version is looked at before the sum, since another version may place the sum elsewhere.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize || [8]byte(b[:8]) != segmentMagic {
		return Header{}, fmt.Errorf("%w: no segment header", ErrDamaged)
	}
	if v := le.Uint32(b[8:]); v != FormatVersion {
		return Header{}, fmt.Errorf("%w: %d, this build knows %d", ErrUnknownFormat, v, FormatVersion)
	}
	if le.Uint32(b[60:]) != Crc(0, b[:60]) || le.Uint32(b[12:]) != HeaderSize {
		return Header{}, fmt.Errorf("%w: header checksum", ErrDamaged)
	}
	return Header{
		Instance: le.Uint64(b[16:]), Seq: le.Uint64(b[24:]), Created: int64(le.Uint64(b[32:])), Stream: b[40],
	}, nil
}

// Seed binds checksums to the segment: bytes of a page that look like a record (a segment file stored as an object, or somebody's
// forgery) do not fit, since nobody outside knows the instance when the page is made.
func (h Header) Seed() uint32 {
	var b [16]byte
	le.PutUint64(b[:], h.Instance)
	le.PutUint64(b[8:], h.Seq)
	return Crc(0, b[:])
}

// blocks is how many checksums a page of so many bytes has.
func blocks(length int) int { return (length + BlockSize - 1) / BlockSize }

// RecordHeaderSize is the size of the header in front of a page: 64 bytes up to 512 KiB, else 128.
func RecordHeaderSize(length int) int { return roundUp(recordFixed + 4*blocks(length)) }

// RecordSize is what a page takes in a segment.
func RecordSize(length int) int64 { return int64(roundUp(RecordHeaderSize(length) + length)) }

func roundUp(n int) int { return (n + Align - 1) &^ (Align - 1) }

// Record is a page's header in a segment.
type Record struct {
	Key    Key
	Length int
	Class  uint8
}

// AppendRecord appends a page's header, data and padding to b. seed is the segment's, off where the record will lie in it.
func AppendRecord(b []byte, seed uint32, off int64, key Key, class uint8, data []byte) []byte {
	start := len(b)
	hs := RecordHeaderSize(len(data))
	b = append(b, make([]byte, hs)...)
	h := b[start:]
	copy(h, recordMagic[:])
	le.PutUint32(h[4:], uint32(len(data)))
	copy(h[8:], key[:])
	h[24] = class
	// h[25] is the codec: 0, the bytes as they are. h[26:28] are zero.
	keySum := Crc(0, h[8:24])
	for i := range blocks(len(data)) {
		le.PutUint32(h[recordFixed+4*i:], Crc(keySum, data[i*BlockSize:min((i+1)*BlockSize, len(data))]))
	}
	le.PutUint32(h[28:], headerSum(h, seed, off))
	b = append(b, data...)
	return append(b, make([]byte, roundUp(len(data))-len(data))...)
}

// headerSum covers where a record lies, as 8 bytes, and all of its header but the sum itself. The 8 bytes go by hand: an array given to
// crc32 would be allocated at every read.
func headerSum(h []byte, seed uint32, off int64) uint32 {
	c := ^seed
	for i := range 8 {
		c = castagnoli[byte(c)^byte(off>>(8*i))] ^ c>>8
	}
	return Crc(Crc(^c, h[:28]), h[recordFixed:])
}

// ParseRecord reads a record's header, of which b holds at least align bytes. need > 0 asks for so many bytes and to be called again.
func ParseRecord(b []byte, seed uint32, off int64) (r Record, need int, err error) {
	if [4]byte(b[:4]) != recordMagic {
		return r, 0, fmt.Errorf("%w: no page at %d", ErrDamaged, off)
	}
	length := le.Uint32(b[4:])
	if length == 0 || length > MaxPage {
		return r, 0, fmt.Errorf("%w: page of %d bytes at %d", ErrDamaged, length, off)
	}
	hs := RecordHeaderSize(int(length))
	if hs > len(b) {
		return r, hs, nil
	}
	if le.Uint32(b[28:]) != headerSum(b[:hs], seed, off) {
		return r, 0, fmt.Errorf("%w: page header checksum at %d", ErrDamaged, off)
	}
	if b[25] != 0 {
		return r, 0, fmt.Errorf("%w: page with codec %d at %d", ErrDamaged, b[25], off)
	}
	return Record{Key: Key(b[8:24]), Length: int(length), Class: b[24]}, 0, nil
}

// CheckBlocks compares the sums of the blocks first.. of which data holds the bytes; header is the record's, already trusted.
func CheckBlocks(header []byte, first int, data []byte) bool {
	keySum := Crc(0, header[8:24])
	for i := first; len(data) > 0; i++ {
		n := min(BlockSize, len(data))
		if le.Uint32(header[recordFixed+4*i:]) != Crc(keySum, data[:n]) {
			return false
		}
		data = data[n:]
	}
	return true
}

// BlockSum returns the sum of a block: CRC32C of the page's key and the block's bytes, so that it depends on nothing but the page's content. header is
// the record's, already trusted. For readers that have a block's bytes in several buffers.
func BlockSum(header []byte, block int) uint32 { return le.Uint32(header[recordFixed+4*block:]) }
