package formats

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/alio-lake/alio/formats/parquet"
	"github.com/alio-lake/alio/formats/parquet/parquettest"
)

// bothWays makes a layout of a footer by the plain way, nil if that gives up, and by the usual one.
func bothWays(size int64, footer []byte, class Class, r *object) (plain, usual *Layout, err error) {
	p := func() plan {
		return plan{size: size, tailStart: size - TailSize, class: class, format: Parquet, first: 4, footerStart: size - parquet.TrailerSize - int64(len(footer)), work: new(workspace)}
	}
	one, two := p(), p()
	plain = one.plain(footer)
	if err = parquet.ReadFooter(footer, two.chunk); err == nil {
		usual, err = two.layout(r)
	}
	return plain, usual, err
}

// TestPlainWay: a file in order goes the plain way, and whatever goes it, footers with changed bytes too, has the layout that the usual way makes.
func TestPlainWay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	went, changed := 0, 0
	for _, chunk := range []int64{1000, 40 << 10, 3 << 20} {
		for _, class := range []Class{Other, Checkpoint} {
			meta, end := parquettest.Synthetic(7, 9, chunk)
			footer := parquettest.Thrift(t, meta)
			size := end + 70<<10 + int64(len(footer)) + parquet.TrailerSize
			check := func(b []byte) bool {
				plain, usual, err := bothWays(size, b, class, &object{size: size})
				if plain != nil && (err != nil || !slices.Equal(plain.cuts, usual.cuts) || plain.size != usual.size || plain.format != usual.format) {
					t.Fatalf("chunks of %d bytes: the plain way makes %v, the usual one %v, %v", chunk, plain, usual, err)
				}
				return plain != nil
			}
			if !check(footer) {
				t.Fatalf("chunks of %d bytes: a plain file does not go the plain way", chunk)
			}
			for range 4000 {
				b := bytes.Clone(footer)
				for range 1 + rnd.IntN(2) {
					b[rnd.IntN(len(b))] ^= byte(1 << rnd.IntN(8))
				}
				changed++
				if check(b) {
					went++
				}
			}
		}
	}
	t.Logf("%d of %d changed footers went the plain way", went, changed)
	if went == 0 {
		t.Error("no changed footer went the plain way")
	}
}
