package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/alio-lake/alio/cache"
)

// The sizes of the segment format, in bytes. FORMAT.md draws what they mean.
const (
	formatVersion = 1
	align         = 64       // records start at multiples of it
	blockSize     = 64 << 10 // what one checksum covers
	headerSize    = 64       // of a segment
	entrySize     = 32       // of the footer's index
	trailerSize   = 64
	recordFixed   = 32 // of a record's header, before the sums
)

var (
	segmentMagic = [8]byte{'A', 'L', 'I', 'O', 'S', 'E', 'G', 0}
	trailerMagic = [8]byte{'A', 'L', 'I', 'O', 'E', 'N', 'D', 0}
	recordMagic  = [4]byte{'A', 'L', 'p', 'g'}
)

// What a segment can be wrong with. They never leave the package.
var (
	errUnknownFormat = errors.New("segment of an unknown format version")
	errDamaged       = errors.New("segment is damaged")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc(seed uint32, b []byte) uint32 { return crc32.Update(seed, castagnoli, b) }

var le = binary.LittleEndian

// segmentHeader is what a segment file starts with.
type segmentHeader struct {
	instance uint64 // random, drawn at each start of a process
	seq      uint64 // greater than that of every segment that was there before
	created  int64  // seconds since 1970; told to people, used for nothing
	stream   stream // whose pages it was made for; a hint for eviction
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, segmentMagic[:])
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], headerSize)
	le.PutUint64(b[16:], h.instance)
	le.PutUint64(b[24:], h.seq)
	le.PutUint64(b[32:], uint64(h.created))
	b[40] = byte(h.stream)
	le.PutUint32(b[60:], crc(0, b[:60]))
	return b
}

// parseSegmentHeader reads a header. The version is looked at before the sum, since another version may place the sum elsewhere.
func parseSegmentHeader(b []byte) (segmentHeader, error) {
	if len(b) < headerSize || [8]byte(b[:8]) != segmentMagic {
		return segmentHeader{}, fmt.Errorf("%w: no segment header", errDamaged)
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return segmentHeader{}, fmt.Errorf("%w: %d, this build knows %d", errUnknownFormat, v, formatVersion)
	}
	if le.Uint32(b[60:]) != crc(0, b[:60]) || le.Uint32(b[12:]) != headerSize {
		return segmentHeader{}, fmt.Errorf("%w: header checksum", errDamaged)
	}
	return segmentHeader{
		instance: le.Uint64(b[16:]), seq: le.Uint64(b[24:]), created: int64(le.Uint64(b[32:])), stream: stream(min(b[40], byte(streams-1))),
	}, nil
}

// seed binds checksums to the segment: bytes of a page that look like a record (a segment file stored as an object, or somebody's
// forgery) do not fit, since nobody outside knows the instance when the page is made.
func (h segmentHeader) seed() uint32 {
	var b [16]byte
	le.PutUint64(b[:], h.instance)
	le.PutUint64(b[8:], h.seq)
	return crc(0, b[:])
}

// blocks is how many checksums a page of so many bytes has.
func blocks(length int) int { return (length + blockSize - 1) / blockSize }

// recordHeaderSize is the size of the header in front of a page: 64 bytes up to 512 KiB, else 128.
func recordHeaderSize(length int) int { return roundUp(recordFixed + 4*blocks(length)) }

// recordSize is what a page takes in a segment.
func recordSize(length int) int64 { return int64(roundUp(recordHeaderSize(length) + length)) }

func roundUp(n int) int { return (n + align - 1) &^ (align - 1) }

// record is a page's header in a segment.
type record struct {
	key    cache.Key
	length int
	class  uint8
}

// appendRecord appends a page's header, data and padding to b. seed is the segment's, off where the record will lie in it.
func appendRecord(b []byte, seed uint32, off int64, key cache.Key, class uint8, data []byte) []byte {
	start := len(b)
	hs := recordHeaderSize(len(data))
	b = append(b, make([]byte, hs)...)
	h := b[start:]
	copy(h, recordMagic[:])
	le.PutUint32(h[4:], uint32(len(data)))
	copy(h[8:], key[:])
	h[24] = class
	// h[25] is the codec: 0, the bytes as they are. h[26:28] are zero.
	keySum := crc(0, key[:])
	for i := range blocks(len(data)) {
		le.PutUint32(h[recordFixed+4*i:], crc(keySum, data[i*blockSize:min((i+1)*blockSize, len(data))]))
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
	return crc(crc(^c, h[:28]), h[recordFixed:])
}

// parseRecord reads a record's header, of which b holds at least align bytes. need > 0 asks for so many bytes and to be called again.
func parseRecord(b []byte, seed uint32, off int64) (r record, need int, err error) {
	if [4]byte(b[:4]) != recordMagic {
		return r, 0, fmt.Errorf("%w: no page at %d", errDamaged, off)
	}
	length := le.Uint32(b[4:])
	if length == 0 || length > cache.MaxPage {
		return r, 0, fmt.Errorf("%w: page of %d bytes at %d", errDamaged, length, off)
	}
	hs := recordHeaderSize(int(length))
	if hs > len(b) {
		return r, hs, nil
	}
	if le.Uint32(b[28:]) != headerSum(b[:hs], seed, off) {
		return r, 0, fmt.Errorf("%w: page header checksum at %d", errDamaged, off)
	}
	if b[25] != 0 {
		return r, 0, fmt.Errorf("%w: page with codec %d at %d", errDamaged, b[25], off)
	}
	return record{key: cache.Key(b[8:24]), length: int(length), class: b[24]}, 0, nil
}

// checkBlocks compares the sums of the blocks first.. of which data holds the bytes; header is the record's, already trusted.
func checkBlocks(header []byte, first int, data []byte) bool {
	keySum := crc(0, header[8:24])
	for i := first; len(data) > 0; i++ {
		n := min(blockSize, len(data))
		if le.Uint32(header[recordFixed+4*i:]) != crc(keySum, data[:n]) {
			return false
		}
		data = data[n:]
	}
	return true
}

// location is where a page lies: a line of a segment's index.
type location struct {
	key    cache.Key
	off    int64 // of the record's header, a multiple of align
	length int   // of the page's data
	class  uint8
}

func (l location) end() int64 { return l.off + recordSize(l.length) }

// footerSize is what the index of n pages takes.
func footerSize(n int) int64 { return int64(n)*entrySize + trailerSize }

// encodeFooter makes the index that seals a segment whose records end at end.
func encodeFooter(h segmentHeader, pages []location, end int64) []byte {
	b := make([]byte, footerSize(len(pages)))
	for i, p := range pages {
		e := b[i*entrySize:]
		copy(e, p.key[:])
		le.PutUint32(e[16:], uint32(p.off/align))
		le.PutUint32(e[20:], uint32(p.length))
		e[24] = p.class
	}
	n := len(pages) * entrySize
	t := b[n:]
	copy(t, trailerMagic[:])
	le.PutUint32(t[8:], formatVersion)
	le.PutUint32(t[12:], uint32(len(pages)))
	le.PutUint64(t[16:], uint64(end))
	le.PutUint64(t[24:], h.instance)
	le.PutUint64(t[32:], h.seq)
	le.PutUint32(t[56:], crc(h.seed(), b[:n]))
	le.PutUint32(t[60:], crc(h.seed(), t[:60]))
	return b
}

// parseTrailer finds the index of a sealed segment of so many bytes: where it starts, and the pages in it.
func parseTrailer(t []byte, h segmentHeader, size int64) (end int64, count int, err error) {
	if len(t) < trailerSize || [8]byte(t[:8]) != trailerMagic || le.Uint32(t[60:]) != crc(h.seed(), t[:60]) {
		return 0, 0, fmt.Errorf("%w: no trailer", errDamaged)
	}
	end, n := int64(le.Uint64(t[16:])), int64(le.Uint32(t[12:]))
	if le.Uint32(t[8:]) != formatVersion || end < headerSize || end > size || end%align != 0 || size-end != footerSize(int(n)) {
		return 0, 0, fmt.Errorf("%w: trailer does not fit the file", errDamaged)
	}
	return end, int(n), nil
}

// parseEntries reads the lines of a segment's index; trailer is the trailer that follows them, already trusted.
func parseEntries(b, trailer []byte, h segmentHeader, end int64) ([]location, error) {
	if le.Uint32(trailer[56:]) != crc(h.seed(), b) {
		return nil, fmt.Errorf("%w: index checksum", errDamaged)
	}
	pages := make([]location, len(b)/entrySize)
	for i := range pages {
		e := b[i*entrySize:]
		p := location{key: cache.Key(e[:16]), off: int64(le.Uint32(e[16:])) * align, length: int(le.Uint32(e[20:])), class: e[24]}
		if p.length < 1 || p.length > cache.MaxPage || p.off < headerSize || p.end() > end {
			return nil, fmt.Errorf("%w: index entry %d", errDamaged, i)
		}
		pages[i] = p
	}
	return pages, nil
}
