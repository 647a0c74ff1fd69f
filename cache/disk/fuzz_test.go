package disk

import (
	"bytes"
	"errors"
	"testing"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/internal/vfs"
)

// bytesFile reads bytes as a file.
type bytesFile struct {
	vfs.File
	*bytes.Reader
}

func (f bytesFile) ReadAt(p []byte, off int64) (int, error) { return f.Reader.ReadAt(p, off) }
func (f bytesFile) Size() (int64, error)                    { return f.Reader.Size(), nil }

// FuzzOpenSegment opens arbitrary bytes as a segment: no panic, no page outside of the file, no more memory than the file could index,
// and every page that a scan believes holds what its sums say.
func FuzzOpenSegment(f *testing.F) {
	h := segmentHeader{instance: 3, seq: 4}
	one := h.encode()
	var pages []location
	for n := range uint64(4) {
		k, data := sizedPage(n, 40+int(n)*90)
		pages = append(pages, location{key: k, off: int64(len(one)), length: len(data), class: 2})
		one = appendRecord(one, h.seed(), int64(len(one)), k, 2, data)
	}
	sealed := append(bytes.Clone(one), encodeFooter(h, pages, int64(len(one)))...)
	f.Add(sealed)
	f.Add(one)
	f.Add(one[:len(one)-30])
	f.Add(h.encode())
	f.Add([]byte{})
	f.Add(append(bytes.Clone(sealed), sealed...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := openSegment(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, errDamaged) && !errors.Is(err, errUnknownFormat) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if len(c.pages) > len(b)/align || c.end > int64(len(b)) {
			t.Fatalf("%d pages, end %d in %d bytes", len(c.pages), c.end, len(b))
		}
		for _, p := range c.pages {
			if p.length < 1 || p.length > cache.MaxPage || p.off < headerSize || p.end() > c.end {
				t.Fatalf("a page outside of the file: %+v", p)
			}
			plan := planRead(p, 0, p.length)
			buf := make([]byte, plan.header+plan.data)
			if err := plan.read(bytesFile{Reader: bytes.NewReader(b)}, false, buf); err != nil {
				t.Fatal(err)
			}
			if ok := plan.check(c.header.seed(), buf); !ok && !c.sealed {
				t.Fatalf("a page was believed that does not hold: %+v", p)
			}
		}
	})
}
