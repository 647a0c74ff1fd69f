package disk

import (
	"errors"
	"fmt"
	"io"

	"github.com/alio-lake/alio/cache"
)

// contents is what the opener found in a segment file.
type contents struct {
	header segmentHeader
	pages  []location
	end    int64 // where the records end
	sealed bool  // the index at the end of the file was whole
}

// openSegment reads a segment's index, or, where there is none or it is damaged, scans the records and believes those whose header
// and data pass their sums, up to the first that does not. Memory: the index, which is smaller than the file, or while scanning one
// page. errUnknownFormat and errDamaged say that nothing can be had; other errors are the device's.
func openSegment(f io.ReaderAt, size int64) (contents, error) {
	var head [headerSize]byte
	if size < headerSize {
		return contents{}, fmt.Errorf("%w: %d bytes", errDamaged, size)
	}
	if err := readFull(f, head[:], 0); err != nil {
		return contents{}, err
	}
	h, err := parseSegmentHeader(head[:])
	if err != nil {
		return contents{}, err
	}
	pages, end, err := readFooter(f, h, size)
	if err == nil {
		return contents{header: h, pages: pages, end: end, sealed: true}, nil
	}
	if !errors.Is(err, errDamaged) {
		return contents{}, err
	}
	c := contents{header: h}
	c.pages, c.end = scanRecords(f, h, size)
	return c, nil
}

func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return fmt.Errorf("%w: it ends at %d", errDamaged, off+int64(n))
	}
	return err
}

// readFooter reads a sealed segment's index.
func readFooter(f io.ReaderAt, h segmentHeader, size int64) ([]location, int64, error) {
	if size < headerSize+trailerSize {
		return nil, 0, fmt.Errorf("%w: no trailer", errDamaged)
	}
	var t [trailerSize]byte
	if err := readFull(f, t[:], size-trailerSize); err != nil {
		return nil, 0, err
	}
	end, count, err := parseTrailer(t[:], h, size)
	if err != nil {
		return nil, 0, err
	}
	b := make([]byte, count*entrySize) // parseTrailer has checked that the file is that large
	if err := readFull(f, b, end); err != nil {
		return nil, 0, err
	}
	pages, err := parseEntries(b, t[:], h, end)
	return pages, end, err
}

// scanRecords walks the records from the start and checks every byte. Headers alone would not do: after a power loss a header may
// have reached the device before its data. It stops at the first record that does not hold.
func scanRecords(f io.ReaderAt, h segmentHeader, size int64) (pages []location, end int64) {
	buf := make([]byte, align)
	off := int64(headerSize)
	for off+align <= size {
		p, ok := scanRecord(f, h, off, size, &buf)
		if !ok {
			break
		}
		pages = append(pages, p)
		off = p.end()
	}
	return pages, off
}

func scanRecord(f io.ReaderAt, h segmentHeader, off, size int64, buf *[]byte) (location, bool) {
	b := (*buf)[:align]
	if readFull(f, b, off) != nil {
		return location{}, false
	}
	r, need, err := parseRecord(b, h.seed(), off)
	if err != nil {
		return location{}, false
	}
	length := r.length
	if need > 0 {
		length = int(le.Uint32(b[4:])) // parseRecord has checked its bounds, not yet its sum
	}
	total := recordSize(length)
	if off+total > size {
		return location{}, false
	}
	if int(total) > cap(*buf) {
		*buf = make([]byte, total, min(2*total, recordSize(cache.MaxPage)))
	}
	b = (*buf)[:total]
	if readFull(f, b, off) != nil {
		return location{}, false
	}
	hs := recordHeaderSize(length)
	if r, need, err = parseRecord(b[:hs], h.seed(), off); err != nil || need > 0 {
		return location{}, false
	}
	if !checkBlocks(b, 0, b[hs:hs+length]) {
		return location{}, false
	}
	return location{key: r.key, off: off, length: r.length, class: r.class}, true
}
