package disk

import (
	"errors"
	"fmt"
	"io"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
)

// contents is what the opener found in a segment file.
type contents struct {
	header segfile.Header
	pages  []segfile.Location
	end    int64 // where the records end
	sealed bool  // the index at the end of the file was whole
}

// openSegment reads a segment's index, or, where there is none or it is damaged, scans the records and believes those whose header
// and data pass their sums, up to the first that does not. Memory: the index, which is smaller than the file, or while scanning one
// page. errUnknownFormat and errDamaged say that nothing can be had; other errors are the device's.
func openSegment(f io.ReaderAt, size int64) (contents, error) {
	var head [segfile.HeaderSize]byte
	if size < segfile.HeaderSize {
		return contents{}, fmt.Errorf("%w: %d bytes", segfile.ErrDamaged, size)
	}
	if err := readFull(f, head[:], 0); err != nil {
		return contents{}, err
	}
	h, err := segfile.ParseHeader(head[:])
	if err != nil {
		return contents{}, err
	}
	pages, end, err := readFooter(f, h, size)
	if err == nil {
		return contents{header: h, pages: pages, end: end, sealed: true}, nil
	}
	if !errors.Is(err, segfile.ErrDamaged) {
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
		return fmt.Errorf("%w: it ends at %d", segfile.ErrDamaged, off+int64(n))
	}
	return err
}

// readFooter reads a sealed segment's index.
func readFooter(f io.ReaderAt, h segfile.Header, size int64) ([]segfile.Location, int64, error) {
	if size < segfile.HeaderSize+segfile.TrailerSize {
		return nil, 0, fmt.Errorf("%w: no trailer", segfile.ErrDamaged)
	}
	var t [segfile.TrailerSize]byte
	if err := readFull(f, t[:], size-segfile.TrailerSize); err != nil {
		return nil, 0, err
	}
	end, count, err := segfile.ParseTrailer(t[:], h, size)
	if err != nil {
		return nil, 0, err
	}
	b := make([]byte, count*segfile.EntrySize) // parseTrailer has checked that the file is that large
	if err := readFull(f, b, end); err != nil {
		return nil, 0, err
	}
	pages, err := segfile.ParseEntries(b, t[:], h, end)
	return pages, end, err
}

// scanRecords walks the records from the start and checks every byte. Headers alone would not do: after a power loss a header may
// have reached the device before its data. It stops at the first record that does not hold.
func scanRecords(f io.ReaderAt, h segfile.Header, size int64) (pages []segfile.Location, end int64) {
	buf := make([]byte, segfile.Align)
	off := int64(segfile.HeaderSize)
	for off+segfile.Align <= size {
		p, ok := scanRecord(f, h, off, size, &buf)
		if !ok {
			break
		}
		pages = append(pages, p)
		off = p.End()
	}
	return pages, off
}

func scanRecord(f io.ReaderAt, h segfile.Header, off, size int64, buf *[]byte) (segfile.Location, bool) {
	b := (*buf)[:segfile.Align]
	if readFull(f, b, off) != nil {
		return segfile.Location{}, false
	}
	r, need, err := segfile.ParseRecord(b, h.Seed(), off)
	if err != nil {
		return segfile.Location{}, false
	}
	length := r.Length
	if need > 0 {
		length = int(le.Uint32(b[4:])) // parseRecord has checked its bounds, not yet its sum
	}
	total := segfile.RecordSize(length)
	if off+total > size {
		return segfile.Location{}, false
	}
	if int(total) > cap(*buf) {
		*buf = make([]byte, total, min(2*total, segfile.RecordSize(cache.MaxPage)))
	}
	b = (*buf)[:total]
	if readFull(f, b, off) != nil {
		return segfile.Location{}, false
	}
	hs := segfile.RecordHeaderSize(length)
	if r, need, err = segfile.ParseRecord(b[:hs], h.Seed(), off); err != nil || need > 0 {
		return segfile.Location{}, false
	}
	if !segfile.CheckBlocks(b, 0, b[hs:hs+length]) {
		return segfile.Location{}, false
	}
	return segfile.Location{Key: r.Key, Off: off, Length: r.Length, Class: r.Class}, true
}
