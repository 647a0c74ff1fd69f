package disk

import (
	"bytes"
	"errors"
	"testing"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// bytesFile reads bytes as a file.
type bytesFile struct {
	vfs.File
	*bytes.Reader
}

func (f bytesFile) ReadAt(p []byte, off int64) (int, error) { return f.Reader.ReadAt(p, off) }
func (f bytesFile) Size() (int64, error)                    { return f.Reader.Size(), nil }

// pageList takes pages into a list.
type pageList struct{ pages []segfile.Location }

func (l *pageList) take(e segfile.Entries) {
	for i := range e.Len() {
		l.pages = append(l.pages, e.At(i))
	}
}

func (l *pageList) undo() { l.pages = nil }

// openBytes opens a segment as a start does, its index three lines at a time.
func openBytes(b []byte) (contents, error) {
	c, err := inspect(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return c, err
	}
	var l pageList
	err = c.readPages(bytes.NewReader(b), int64(len(b)), make([]byte, 3*segfile.EntrySize), &l)
	if c.sealed {
		c.pages = l.pages
	} else if l.pages != nil {
		panic("pages of an index that does not hold were not taken back")
	}
	return c, err
}

// FuzzOpenSegment opens arbitrary bytes as a segment: no panic, no page outside of the file, no more memory than the file could index,
// and every page that a scan believes holds what its sums say.
func FuzzOpenSegment(f *testing.F) {
	h := segfile.Header{Instance: 3, Seq: 4}
	one := h.Encode()
	var pages []segfile.Location
	for n := range uint64(4) {
		k, data := sizedPage(n, 40+int(n)*90)
		pages = append(pages, segfile.Location{Key: k, Off: int64(len(one)), Length: len(data), Class: 2})
		one = segfile.AppendRecord(one, h.Seed(), int64(len(one)), k, 2, data)
	}
	sealed := append(bytes.Clone(one), segfile.EncodeFooter(h, pages, int64(len(one)))...)
	f.Add(sealed)
	f.Add(one)
	f.Add(one[:len(one)-30])
	f.Add(h.Encode())
	f.Add([]byte{})
	f.Add(append(bytes.Clone(sealed), sealed...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := openBytes(b)
		if err != nil {
			if !errors.Is(err, segfile.ErrDamaged) && !errors.Is(err, segfile.ErrUnknownFormat) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if len(c.pages) > len(b)/segfile.Align || c.end > int64(len(b)) {
			t.Fatalf("%d pages, end %d in %d bytes", len(c.pages), c.end, len(b))
		}
		for _, p := range c.pages {
			if p.Length < 1 || p.Length > cache.MaxPage || p.Off < segfile.HeaderSize || p.End() > c.end {
				t.Fatalf("a page outside of the file: %+v", p)
			}
			plan := segfile.PlanRead(p, 0, p.Length)
			buf := make([]byte, plan.Header+plan.Data)
			if err := readPlanned(plan, bytesFile{Reader: bytes.NewReader(b)}, false, buf); err != nil {
				t.Fatal(err)
			}
			if ok := plan.Check(c.header.Seed(), buf); !ok && !c.sealed {
				t.Fatalf("a page was believed that does not hold: %+v", p)
			}
		}
	})
}
