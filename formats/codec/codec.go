// Package codec undoes the compression of metadata: of Avro's blocks, of ORC's footers, of Iceberg's gzip files. It is not for data. It never gives
// more bytes than its caller allows, however small the input that promises more, and never panics. Start at Expand.
package codec

import (
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/alio-lake/alio/formats/faults"
)

// Codec is a way of compression.
type Codec uint8

// The codecs.
const (
	None    Codec = iota
	Deflate       // without a header: what ORC calls ZLIB
	Gzip
	Snappy // one raw block
	Zstd
	LZ4 // one raw block
	Bzip2
)

// Expand returns the bytes that src stands for: at most limit, else faults.ErrTooLarge. With None they are src itself.
func Expand(c Codec, src []byte, limit int) ([]byte, error) {
	switch c {
	case None:
		if len(src) > limit {
			return nil, faults.TooLarge("%d bytes (at most %d)", len(src), limit)
		}
		return src, nil
	case Deflate:
		return drain(flate.NewReader(bytes.NewReader(src)), limit)
	case Gzip:
		r, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, faults.Corrupt("gzip: %v", err)
		}
		return drain(r, limit)
	case Snappy:
		return unsnap(src, limit)
	case Zstd:
		return unzstd(src, limit)
	case LZ4:
		return unlz4(src, limit)
	case Bzip2:
		return drain(bzip2.NewReader(bytes.NewReader(src)), limit)
	}
	return nil, faults.Corrupt("codec %d is unknown", c)
}

// drain reads r to its end.
func drain(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, faults.Corrupt("compressed data: %v", err)
	case len(b) > limit:
		return nil, faults.TooLarge("more than %d bytes once expanded", limit)
	}
	return b, nil
}

func unsnap(src []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(src)
	if err != nil {
		return nil, faults.Corrupt("snappy: %v", err)
	}
	// Snappy makes at most about 64 bytes of three, so that a length that lies takes no memory.
	if n > limit || n > 64*len(src) {
		return nil, faults.TooLarge("%d bytes once expanded from %d (at most %d)", n, len(src), limit)
	}
	b, err := snappy.Decode(nil, src)
	if err != nil {
		return nil, faults.Corrupt("snappy: %v", err)
	}
	return b, nil
}

func unzstd(src []byte, limit int) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(max(limit, 1))))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	b, err := d.DecodeAll(src, nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, faults.TooLarge("zstd: %v", err)
	case err != nil:
		return nil, faults.Corrupt("zstd: %v", err)
	}
	return b, nil
}

func unlz4(src []byte, limit int) ([]byte, error) {
	// A block does not tell how long it expands; LZ4 makes at most 255 bytes of one.
	b := make([]byte, min(limit, 255*len(src)))
	n, err := lz4.UncompressBlock(src, b)
	if err != nil {
		return nil, faults.Corrupt("lz4: %v", err)
	}
	return b[:n], nil
}
