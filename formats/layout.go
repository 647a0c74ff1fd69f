package formats

import (
	"strings"
	"unsafe"
)

// Sizes, in bytes.
const (
	// MaxPage is the largest page.
	MaxPage = 1 << 20
	// GridPage is the page of a grid, used where the structure is unknown. Below about this size a request costs more than its bytes.
	GridPage = 256 << 10
	// SmallObject is the largest object that is one page, whatever its format.
	SmallObject = 256 << 10
	// TailSize is the last page of every object larger than SmallObject whose format keeps its footer at the end or is not yet
	// known. Engines guess their own tail (Presto 16 KiB, Trino 48 KiB, pyarrow 64 KiB); one page serves them all.
	TailSize = 64 << 10
)

// MaxPages is the most pages a derived Layout may have (8 MiB of memory). A file that wants more is ErrTooLarge and gets a grid.
const MaxPages = 1 << 20

// Layout says how one object is cut into pages. It is immutable and safe for parallel use; it holds no bytes of the object. Pages
// cover [0, Size) without gap or overlap and none is larger than MaxPage.
type Layout struct {
	size int64
	// cuts are the pages of a derived layout, in order: offset<<8 | class, one word a page, no pointers. nil: the pages are a
	// grid over [0, size-tail) and one page for the tail.
	cuts      []uint64
	page      int64
	tail      int64
	class     Class
	tailClass Class
	format    FileFormat
}

// FileFormat is the format of a single file that a layout follows.
type FileFormat uint8

// The file formats.
const (
	Unstructured FileFormat = iota // one page, or a grid
	Parquet
	ORC
)

// String is the format's name in metrics: "grid" where there is none.
func (f FileFormat) String() string { return [...]string{"grid", "parquet", "orc"}[f] }

// Grid cuts an object of size bytes into pages of page bytes, the last one shorter. It takes no memory per page. A page outside
// [1, MaxPage] is brought to GridPage or MaxPage, a negative size to 0.
func Grid(size, page int64, class Class) *Layout {
	if page <= 0 {
		page = GridPage
	}
	return &Layout{size: max(size, 0), page: min(page, MaxPage), class: class, tailClass: class}
}

// Small makes one page of an object (for objects up to SmallObject; one larger than MaxPage becomes pages of MaxPage).
func Small(size int64, class Class) *Layout { return Grid(size, max(size, 1), class) }

// Provisional is the layout that serves until Derive succeeds, and for ever where the format is unknown or corrupt: one page up to
// SmallObject, else a grid whose last TailSize bytes are a page of their own. That page is the one Derive reads first, so what a
// reader of the footer fetches before the format is known stays under its key once it is.
func Provisional(path string, size int64) *Layout {
	class := ClassOf(path)
	if size <= SmallObject {
		return Small(size, class)
	}
	l := Grid(size, GridPage, class)
	l.tail = TailSize
	if (strings.HasSuffix(path, ".parquet") || strings.HasSuffix(path, ".orc")) && class == Other {
		l.tailClass = Footer
	}
	return l
}

// Growing is the layout of an object that is still being written: a grid without a tail, since neither its end nor a footer is there yet. What
// it cuts of a part that is complete is cut so for ever, unless the object turns out to have a structure.
func Growing(path string, size int64) *Layout { return Grid(size, GridPage, ClassOf(path)) }

// Size is the object's size in bytes.
func (l *Layout) Size() int64 { return l.size }

// Format is the format that the layout follows.
func (l *Layout) Format() FileFormat { return l.format }

// Pages is the number of pages of an object of one part.
func (l *Layout) Pages() int {
	if l.cuts != nil {
		return len(l.cuts)
	}
	n := int((l.size - l.tail + l.page - 1) / l.page)
	if l.tail > 0 {
		n++
	}
	return n
}

// MemoryBytes is the memory that the layout holds.
func (l *Layout) MemoryBytes() int { return int(unsafe.Sizeof(*l)) + 8*cap(l.cuts) }

// PageAt returns the page that holds the byte at off: start <= off < end, and its class. It allocates nothing. An off outside
// [0, Size) answers the nearest page; an object of no bytes has no page and answers 0, 0.
func (l *Layout) PageAt(off int64) (start, end int64, class uint8) {
	return l.PageIn(max(min(off, l.size-1), 0), 0, l.size)
}

// PageIn is PageAt for an object of several parts, of which [lo, hi) holds off: a page ends with its part, a grid starts anew in each, and only
// the last part has a tail. So on a grid the pages of a part that is followed by others depend on nothing but the part, however the object
// grows.
func (l *Layout) PageIn(off, lo, hi int64) (start, end int64, class uint8) {
	if l.cuts != nil {
		start, end, class = l.cutAt(off)
		return max(start, lo), min(end, hi), class
	}
	body := hi
	if hi >= l.size {
		body = max(lo, l.size-l.tail)
	}
	if off >= body {
		return body, hi, uint8(l.tailClass)
	}
	start = off - (off-lo)%l.page
	return start, min(start+l.page, body), uint8(l.class)
}

// cutAt finds the last cut at or before off by binary search; the first cut is at 0.
func (l *Layout) cutAt(off int64) (start, end int64, class uint8) {
	want := uint64(off)<<8 | 0xff
	lo, hi := 0, len(l.cuts) // cuts[lo] <= want < cuts[hi]
	for hi-lo > 1 {
		mid := int(uint(lo+hi) / 2)
		if l.cuts[mid] <= want {
			lo = mid
		} else {
			hi = mid
		}
	}
	end = l.size
	if hi < len(l.cuts) {
		end = int64(l.cuts[hi] >> 8)
	}
	return int64(l.cuts[lo] >> 8), end, uint8(l.cuts[lo])
}
