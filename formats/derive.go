package formats

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/alio-lake/alio/formats/faults"
	"github.com/alio-lake/alio/formats/orc"
	"github.com/alio-lake/alio/formats/parquet"
)

// MaxFooter is the largest footer that Derive reads, in bytes. (100 columns by 1,000 row groups make about 10 MB.)
const MaxFooter = 64 << 20

// chunkBytes is about what half a chunk with statistics takes in a footer: a first guess at the number of extents. Writers are seen
// to take 100 to 200 bytes a chunk.
const chunkBytes = 48

// Errors of Derive; test with errors.Is. After any of them but *NeedError the caller stays with Provisional.
var (
	// ErrAbsent is what the reader given to Derive answers for bytes that are not at hand.
	ErrAbsent = errors.New("bytes are not at hand")
	// ErrUnknownFormat: no magic that this build knows.
	ErrUnknownFormat = errors.New("unknown format")
	// ErrCorrupt: the magic is there, but what it promises is not; the text says what.
	ErrCorrupt = faults.ErrCorrupt
	// ErrTooLarge: a footer larger than MaxFooter, or a layout of more than MaxPages.
	ErrTooLarge = faults.ErrTooLarge
)

// NeedError says that Derive needs the bytes from Offset to the end of the object and that not all of them are at hand. Offset is the
// start of a page of the layout that will result.
type NeedError struct {
	Offset int64
}

func (e *NeedError) Error() string {
	return fmt.Sprintf("layout needs the bytes from %d to the end: %v", e.Offset, ErrAbsent)
}

// Unwrap returns ErrAbsent.
func (e *NeedError) Unwrap() error { return ErrAbsent }

// Derive makes the layout of an object from its own bytes. It recognises the format by its magic; the path only sets classes. An
// object up to SmallObject is one page and nothing is read.
//
// r answers ranges that are at hand and ErrAbsent for all others: Derive never causes a request. Every range it asks for is exactly one
// page of the layout it returns, so that a caller can answer from whole cached pages, and after a restart derive the same layout
// again: first the last TailSize bytes; then, if the footer is larger, the rest of it in pages of at most MaxPage; then, only where a
// column chunk of Parquet is larger than MaxPage, the page-index pages that hold its offset index. If those are not at hand the chunk is cut
// into equal parts instead, which is the one thing in which two derivations of the same object can differ; it costs misses, never
// a wrong byte, and a caller that answers page-index pages always or never does not meet it.
//
// Errors: *NeedError, ErrUnknownFormat, ErrCorrupt, ErrTooLarge, or r's own error for the tail or the footer, each with the path.
func Derive(path string, size int64, r io.ReaderAt) (*Layout, error) {
	if size <= SmallObject {
		return Small(size, ClassOf(path)), nil
	}
	l, err := derive(ClassOf(path), size, r)
	if err != nil {
		return nil, fmt.Errorf("layout of %q: %w", path, err)
	}
	return l, nil
}

// derive is Derive without the rule for small objects.
func derive(class Class, size int64, r io.ReaderAt) (*Layout, error) {
	if size > maxOffset {
		return nil, fmt.Errorf("%w: an object of %d bytes", ErrTooLarge, size)
	}
	p := plan{size: size, tailStart: max(0, size-TailSize), class: class}
	var err error
	if p.tail, err = readPage(r, p.tailStart, size); err != nil {
		return nil, needFrom(p.tailStart, err)
	}
	if length, encrypted, ok := parquet.Trailer(p.tail); ok {
		return p.parquet(length, encrypted, r)
	}
	if ps, ok := orc.ReadPostscript(p.tail); ok {
		return p.orc(&ps, r)
	}
	return nil, ErrUnknownFormat
}

// parquet makes the layout of a file whose footer has that length. Of an encrypted footer no more is known than where it is.
func (p *plan) parquet(length int64, encrypted bool, r io.ReaderAt) (*Layout, error) {
	p.format, p.first = Parquet, int64(len(parquet.Magic))
	if err := p.foot(length, parquet.TrailerSize); err != nil {
		return nil, err
	}
	if encrypted {
		return p.build()
	}
	w := workspaces.Get().(*workspace)
	defer w.giveBack(p)
	p.work = w
	footer, err := p.footer(r)
	if err != nil {
		return nil, needFrom(p.footerStart, err)
	}
	footer = footer[:length]
	if l := p.plain(footer); l != nil {
		return l, nil
	}
	p.extents, p.aside = slices.Grow(w.extents, len(footer)/chunkBytes), w.aside
	if err := parquet.ReadFooter(footer, p.chunk); err != nil {
		return nil, err
	}
	return p.layout(r)
}

// foot checks the length that the file's end tells of the footer before it, and places it.
func (p *plan) foot(length, trailer int64) error {
	p.footerStart = p.size - trailer - length
	if length < 0 || p.footerStart < p.first {
		return fmt.Errorf("%w: a footer of %d bytes in a file of %d", ErrCorrupt, length, p.size)
	}
	if length > MaxFooter {
		return fmt.Errorf("%w: a footer of %d bytes (at most %d)", ErrTooLarge, length, MaxFooter)
	}
	return nil
}

// needFrom turns ErrAbsent into a NeedError.
func needFrom(offset int64, err error) error {
	if errors.Is(err, ErrAbsent) {
		return &NeedError{Offset: offset}
	}
	return err
}

// readPage reads the bytes [start, end), all of them or an error.
func readPage(r io.ReaderAt, start, end int64) ([]byte, error) {
	b := make([]byte, end-start)
	if err := readInto(r, b, start); err != nil {
		return nil, err
	}
	return b, nil
}

// readInto fills b with the bytes from start on, or fails.
func readInto(r io.ReaderAt, b []byte, start int64) error {
	n, err := r.ReadAt(b, start)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading [%d, %d): %w", start, start+int64(len(b)), err)
}

// footer returns the bytes from the footer's start to the file's end: a slice of the tail, or the pages before it put together with it. Memory for all of it
// is taken only once r has answered the first page: a corrupt length alone costs no more than one.
func (p *plan) footer(r io.ReaderAt) ([]byte, error) {
	if p.footerStart >= p.tailStart {
		return p.tail[p.footerStart-p.tailStart:], nil
	}
	n := partsOf(p.footerStart, p.tailStart)
	second := partStart(p.footerStart, p.tailStart, n, 1)
	footer := p.work.bytes(second-p.footerStart, second-p.footerStart+TailSize)
	if err := readInto(r, footer, p.footerStart); err != nil {
		return nil, err
	}
	footer = slices.Grow(footer, int(p.size-second))[:p.size-p.footerStart] // in place, if the first page is all but the tail
	p.work.keep(footer)
	copy(footer[p.tailStart-p.footerStart:], p.tail)
	for i, at := int64(1), second; i < n; i++ {
		next := partStart(p.footerStart, p.tailStart, n, i+1)
		if err := readInto(r, footer[at-p.footerStart:next-p.footerStart], at); err != nil {
			return nil, err
		}
		at = next
	}
	return footer, nil
}
