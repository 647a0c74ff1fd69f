package segfile

import "fmt"

// Location is where a page lies: a line of a segment's index.
type Location struct {
	Key    Key
	Off    int64 // of the record's header, a multiple of align
	Length int   // of the page's data
	Class  uint8
}

// End is where the record ends in the segment.
func (l Location) End() int64 { return l.Off + RecordSize(l.Length) }

// FooterSize is what the index of n pages takes.
func FooterSize(n int) int64 { return int64(n)*EntrySize + TrailerSize }

// EncodeFooter makes the index that seals a segment whose records end at end.
func EncodeFooter(h Header, pages []Location, end int64) []byte {
	b := make([]byte, FooterSize(len(pages)))
	for i, p := range pages {
		e := b[i*EntrySize:]
		copy(e, p.Key[:])
		le.PutUint32(e[16:], uint32(p.Off/Align))
		le.PutUint32(e[20:], uint32(p.Length))
		e[24] = p.Class
	}
	n := len(pages) * EntrySize
	t := b[n:]
	copy(t, TrailerMagic[:])
	le.PutUint32(t[8:], FormatVersion)
	le.PutUint32(t[12:], uint32(len(pages)))
	le.PutUint64(t[16:], uint64(end))
	le.PutUint64(t[24:], h.Instance)
	le.PutUint64(t[32:], h.Seq)
	le.PutUint32(t[56:], Crc(h.Seed(), b[:n]))
	le.PutUint32(t[60:], Crc(h.Seed(), t[:60]))
	return b
}

// Trailer is what ends a sealed segment: where its index is.
type Trailer struct {
	End   int64 // of the records, where the index starts
	Pages int   // lines of the index

	sum uint32 // of the lines
}

// ParseTrailer reads the last TrailerSize bytes of a segment of so many bytes. Pages is then no more than fit the file without overlapping, so
// whoever makes room for them needs less memory than the file has bytes.
func ParseTrailer(t []byte, h Header, size int64) (Trailer, error) {
	if len(t) < TrailerSize || [8]byte(t[:8]) != TrailerMagic || le.Uint32(t[60:]) != Crc(h.Seed(), t[:60]) {
		return Trailer{}, fmt.Errorf("%w: no trailer", ErrDamaged)
	}
	end, n := int64(le.Uint64(t[16:])), int64(le.Uint32(t[12:]))
	if le.Uint32(t[8:]) != FormatVersion || end < HeaderSize || end > size || end%Align != 0 || size-end != n*EntrySize+TrailerSize {
		return Trailer{}, fmt.Errorf("%w: trailer does not fit the file", ErrDamaged)
	}
	if n > (end-HeaderSize)/smallestRecord {
		return Trailer{}, fmt.Errorf("%w: an index of %d pages for %d bytes of records", ErrDamaged, n, end-HeaderSize)
	}
	return Trailer{End: end, Pages: int(n), sum: le.Uint32(t[56:])}, nil
}

// smallestRecord is the size of a record of one byte.
const smallestRecord = 2 * Align

// Index checks the lines of a segment's index, which may come in pieces, in their order: that each can be, and in the end that their sum holds.
type Index struct {
	trailer Trailer
	crc     uint32
	next    int // line
}

// Index starts to read the lines that the trailer stands for; h is the segment's header.
func (t Trailer) Index(h Header) Index { return Index{trailer: t, crc: h.Seed()} }

// Add takes the next lines, a multiple of EntrySize bytes, of which each names a record within the segment's records. It allocates nothing.
func (x *Index) Add(b []byte) (Entries, error) {
	x.crc = Crc(x.crc, b)
	e := Entries(b[:len(b)/EntrySize*EntrySize])
	for i := range e.Len() {
		if !e.possible(i, x.trailer.End) {
			return nil, fmt.Errorf("%w: index entry %d", ErrDamaged, x.next+i)
		}
	}
	x.next += e.Len()
	return e, nil
}

// Done says whether the lines were all there, and right. Before it is nil they are not to be believed.
func (x *Index) Done() error {
	if x.next != x.trailer.Pages || x.crc != x.trailer.sum {
		return fmt.Errorf("%w: index checksum", ErrDamaged)
	}
	return nil
}

// Entries are lines of a segment's index, as they lie in the file.
type Entries []byte

// Len is how many there are.
func (e Entries) Len() int { return len(e) / EntrySize }

// Key reads the key of line i.
func (e Entries) Key(i int) Key { return Key(e[i*EntrySize:][:16]) }

// At reads the line i.
func (e Entries) At(i int) Location {
	b := e[i*EntrySize:][:EntrySize]
	return Location{Key: Key(b[:16]), Off: int64(le.Uint32(b[16:])) * Align, Length: int(le.Uint32(b[20:])), Class: b[24]}
}

// possible says whether the line names a record between the segment's header and end.
func (e Entries) possible(i int, end int64) bool {
	b := e[i*EntrySize:][:EntrySize]
	off, length := int64(le.Uint32(b[16:]))*Align, le.Uint32(b[20:])
	return length-1 < MaxPage && off >= HeaderSize && off+RecordSize(int(length)) <= end
}

// ParseEntries reads all lines of a segment's index at once.
func ParseEntries(b []byte, t Trailer, h Header) ([]Location, error) {
	x := t.Index(h)
	e, err := x.Add(b)
	if err == nil {
		err = x.Done()
	}
	if err != nil {
		return nil, err
	}
	pages := make([]Location, e.Len())
	for i := range pages {
		pages[i] = e.At(i)
	}
	return pages, nil
}
