package codec_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/alio-lake/alio/formats/codec"
	"github.com/alio-lake/alio/formats/faults"
)

// pack compresses by another package than the one under test undoes it with, where there is one. Of bzip2, which Go does not write, formats/avro has a file.
func pack(t testing.TB, c codec.Codec, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch c {
	case codec.None:
		return b
	case codec.Snappy:
		return snappy.Encode(nil, b)
	case codec.LZ4:
		block := make([]byte, lz4.CompressBlockBound(len(b)))
		var l lz4.Compressor
		n, err := l.CompressBlock(b, block)
		if err != nil || n == 0 {
			t.Fatalf("%d, %v", n, err)
		}
		return block[:n]
	case codec.Deflate:
		w, _ = flate.NewWriter(&out, 9)
	case codec.Gzip:
		w = gzip.NewWriter(&out)
	case codec.Zstd:
		w, _ = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var all = []codec.Codec{codec.None, codec.Deflate, codec.Gzip, codec.Snappy, codec.Zstd, codec.LZ4}

// TestExpand: all bytes come back up to the limit, and not one more than it.
func TestExpand(t *testing.T) {
	b := bytes.Repeat([]byte("metadata "), 10_000)
	for _, c := range all {
		packed := pack(t, c, b)
		if got, err := codec.Expand(c, packed, len(b)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("codec %d: %d bytes, %v", c, len(got), err)
		}
		if got, err := codec.Expand(c, packed, len(b)-1); !errors.Is(err, faults.ErrTooLarge) && !(c == codec.LZ4 && errors.Is(err, faults.ErrCorrupt)) {
			t.Errorf("codec %d beyond the limit: %d bytes, %v", c, len(got), err)
		}
		if c == codec.None {
			continue
		}
		if got, err := codec.Expand(c, packed[:len(packed)/2], len(b)); err == nil && len(got) >= len(b) {
			t.Errorf("codec %d: half of it expands to %d bytes", c, len(got))
		}
	}
	if _, err := codec.Expand(99, b, 1<<20); !errors.Is(err, faults.ErrCorrupt) {
		t.Errorf("codec 99: %v", err)
	}
}

func FuzzExpand(f *testing.F) {
	for _, c := range all {
		f.Add(byte(c), pack(f, c, bytes.Repeat([]byte("seed"), 30)))
	}
	f.Fuzz(func(t *testing.T, c byte, b []byte) {
		const limit = 1 << 20
		got, err := codec.Expand(codec.Codec(c), b, limit)
		if err != nil && !errors.Is(err, faults.ErrCorrupt) && !errors.Is(err, faults.ErrTooLarge) || len(got) > limit {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}
