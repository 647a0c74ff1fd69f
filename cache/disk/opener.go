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
	header  segfile.Header
	sealed  bool            // the index at the end of the file is whole
	trailer segfile.Trailer // of one that is sealed
	pages   []segfile.Location
	end     int64 // where the records end
}

// taker takes the pages of a segment while its index is read.
type taker interface {
	take(e segfile.Entries)
	// undo takes back what was taken: the index is damaged.
	undo()
}

// inspect reads a segment's two ends, 64 bytes each. errUnknownFormat and errDamaged say that nothing can be had; other errors are the device's.
func inspect(f io.ReaderAt, size int64) (c contents, err error) {
	var head [segfile.HeaderSize]byte
	if size < segfile.HeaderSize {
		return c, fmt.Errorf("%w: %d bytes", segfile.ErrDamaged, size)
	}
	if err := readFull(f, head[:], 0); err != nil {
		return c, err
	}
	if c.header, err = segfile.ParseHeader(head[:]); err != nil {
		return c, err
	}
	if size > maxSegmentSize {
		return c, fmt.Errorf("%w: %d bytes, this build reads segments of up to %d", segfile.ErrUnknownFormat, size, int64(maxSegmentSize))
	}
	c.trailer, err = readTrailer(f, c.header, size)
	c.end, c.sealed = c.trailer.End, err == nil
	if errors.Is(err, segfile.ErrDamaged) {
		err = nil // what was not sealed is scanned
	}
	return c, err
}

// readPages gives a sealed segment's pages to the taker. Where there is no index, or a damaged one, it scans the records and lists in c.pages those
// whose header and data pass their sums, up to the first that does not; c.sealed is false then. Memory: buf, through which the index is
// read, or while scanning one page and the list.
func (c *contents) readPages(f io.ReaderAt, size int64, buf []byte, to taker) error {
	if c.sealed {
		err := streamIndex(f, c.header, c.trailer, buf, to)
		if err == nil {
			return nil
		}
		to.undo()
		if !errors.Is(err, segfile.ErrDamaged) {
			return err
		}
		c.sealed = false
	}
	c.pages, c.end = scanRecords(f, c.header, size)
	return nil
}

// streamIndex reads a sealed segment's index in pieces. What the taker got before an error is not to be believed.
func streamIndex(f io.ReaderAt, h segfile.Header, t segfile.Trailer, buf []byte, to taker) error {
	x := t.Index(h)
	for off, end := t.End, t.End+int64(t.Pages)*segfile.EntrySize; off < end; off += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), end-off)]
		if err := readFull(f, b, off); err != nil {
			return err
		}
		e, err := x.Add(b)
		if err != nil {
			return err
		}
		to.take(e)
	}
	return x.Done()
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

func readTrailer(f io.ReaderAt, h segfile.Header, size int64) (segfile.Trailer, error) {
	if size < segfile.HeaderSize+segfile.TrailerSize {
		return segfile.Trailer{}, fmt.Errorf("%w: no trailer", segfile.ErrDamaged)
	}
	var b [segfile.TrailerSize]byte
	if err := readFull(f, b[:], size-segfile.TrailerSize); err != nil {
		return segfile.Trailer{}, err
	}
	return segfile.ParseTrailer(b[:], h, size)
}

// readFooter reads a sealed segment's index.
func readFooter(f io.ReaderAt, h segfile.Header, size int64) ([]segfile.Location, int64, error) {
	t, err := readTrailer(f, h, size)
	if err != nil {
		return nil, 0, err
	}
	b := make([]byte, t.Pages*segfile.EntrySize) // ParseTrailer has checked that the file is that large
	if err := readFull(f, b, t.End); err != nil {
		return nil, 0, err
	}
	pages, err := segfile.ParseEntries(b, t, h)
	return pages, t.End, err
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
