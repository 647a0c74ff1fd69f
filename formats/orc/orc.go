package orc

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/alio-lake/alio/formats/codec"
	"github.com/alio-lake/alio/formats/faults"
)

// Magic begins every ORC file and is in its postscript.
const Magic = "ORC"

// Limits of what is expanded, in bytes.
const (
	// MaxFooter is the most that a footer may expand to.
	MaxFooter = 64 << 20
	// maxChunk is the most that one chunk may: writers use 256 KiB, and the format has room for 8 MiB.
	maxChunk = 8 << 20
)

// Postscript is the end of a file: how long what comes before it is, and how it is compressed.
type Postscript struct {
	Footer   int64 // all lengths as they lie in the file, unchecked but for being positive
	Metadata int64 // statistics of the stripes, before the footer
	Stripes  int64 // statistics of the stripes of encrypted files, before the metadata
	Size     int64 // of the postscript itself with the byte that tells its length
	magic    bool  // Presto's writer leaves it out
	kind     int64
	chunk    int64 // the most that a chunk expands to
}

// codecs by their number; -1: this build has none.
var codecs = map[int64]codec.Codec{0: codec.None, 1: codec.Deflate, 2: codec.Snappy, 4: codec.LZ4, 5: codec.Zstd}

// versions are those of the format, as their field has them.
var versions = []string{"\x00\x0b", "\x00\x0c"}

// ReadPostscript reads the end of a file. ok is false if it does not end as an ORC file does: with the magic, or, as Presto 0.287 writes it, with a version
// of the format and nothing that a postscript does not have. That little is surely an ORC file only if Holds says so.
func ReadPostscript(tail []byte) (ps Postscript, ok bool) {
	if len(tail) == 0 {
		return ps, false
	}
	n := int(tail[len(tail)-1])
	if n+1 > len(tail) {
		return ps, false
	}
	ps.Size = int64(n + 1)
	strange, version := false, ""
	err := fields(tail[len(tail)-1-n:len(tail)-1], func(id protowire.Number, v int64, b []byte) error {
		switch id {
		case 1:
			ps.Footer = v
		case 2:
			ps.kind = v
		case 3:
			ps.chunk = v
		case 4:
			version = string(b)
		case 5:
			ps.Metadata = v
		case 6: // the writer's version
		case 7:
			ps.Stripes = v
		case 8000:
			ps.magic = string(b) == Magic
			strange = !ps.magic
		default:
			strange = true
		}
		return nil
	})
	return ps, err == nil && (ps.magic || !strange && slices.Contains(versions, version))
}

// Holds tells whether the stripes of a file's footer, in the file's order, bear out that it is an ORC file: if its postscript does not have the magic, they begin
// right behind that of the file's start and end at end, where what belongs to the footer begins.
func (ps *Postscript) Holds(stripes []Stripe, end int64) bool {
	if ps.magic {
		return true
	}
	if len(stripes) == 0 {
		return false
	}
	last := stripes[len(stripes)-1]
	return stripes[0].Offset == int64(len(Magic)) && last.Offset+last.Index+last.Data+last.Footer == end
}

// Readable tells whether this build knows the file's compression.
func (ps *Postscript) Readable() bool { _, ok := codecs[ps.kind]; return ok }

// Before is the length of all that comes before the postscript and belongs to the footer; negative or beyond any file if the lengths are wrong.
func (ps *Postscript) Before() int64 {
	const most = 1 << 60
	if ps.Footer < 0 || ps.Metadata < 0 || ps.Stripes < 0 || ps.Footer > most || ps.Metadata > most || ps.Stripes > most {
		return -1
	}
	return ps.Footer + ps.Metadata + ps.Stripes
}

// Stripe is where a stripe lies in the file, as the footer has it and unchecked: its index, its data and its own footer, one after the other.
type Stripe struct {
	Offset, Index, Data, Footer int64
}

// ReadFooter calls visit for every stripe of a footer as it lies in the file. An error of visit ends the reading and is returned as it is; others are
// faults.ErrCorrupt or faults.ErrTooLarge.
func (ps *Postscript) ReadFooter(footer []byte, visit func(Stripe) error) error {
	return ps.messages(footer, footerStripes, func(b []byte) error {
		var s Stripe
		if err := fields(b, func(id protowire.Number, v int64, _ []byte) error {
			switch id {
			case 1:
				s.Offset = v
			case 2:
				s.Index = v
			case 3:
				s.Data = v
			case 4:
				s.Footer = v
			}
			return nil
		}); err != nil {
			return err
		}
		return visit(s)
	})
}

// The fields that hold messages of their own.
const (
	footerStripes       protowire.Number = 3
	stripeFooterStreams protowire.Number = 1
)

// messages calls visit for the bytes of every message in a field of a footer.
func (ps *Postscript) messages(footer []byte, field protowire.Number, visit func([]byte) error) error {
	b, err := ps.expand(footer)
	if err != nil {
		return err
	}
	return eachMessage(b, field, visit)
}

// Stream is a run of bytes of one column in a stripe. Streams follow each other from the stripe's start.
type Stream struct {
	Column int64
	Length int64
	Index  bool // a row index or a bloom filter; those come first
	Bloom  bool
}

// ReadStripeFooter calls visit for every stream of a stripe's footer as it lies in the file. Errors are those of ReadFooter.
func (ps *Postscript) ReadStripeFooter(footer []byte, visit func(Stream) error) error {
	return ps.messages(footer, stripeFooterStreams, func(b []byte) error {
		var s Stream
		if err := fields(b, func(id protowire.Number, v int64, _ []byte) error {
			switch id {
			case 1:
				s.Index, s.Bloom = v >= 6 && v <= 9, v == 7 || v == 8 // ROW_INDEX, BLOOM_FILTER, BLOOM_FILTER_UTF8, ENCRYPTED_INDEX
			case 2:
				s.Column = v
			case 3:
				s.Length = v
			}
			return nil
		}); err != nil {
			return err
		}
		return visit(s)
	})
}

// expand undoes the compression of a footer: chunks, each with a header of three bytes that tells its length and whether it is compressed at all.
func (ps *Postscript) expand(b []byte) ([]byte, error) {
	how, ok := codecs[ps.kind]
	if !ok {
		return nil, faults.TooLarge("compression %d is none that this build reads", ps.kind)
	}
	if how == codec.None {
		return b, nil
	}
	most := int(min(max(ps.chunk, 1), maxChunk))
	var out []byte
	for len(b) > 0 {
		if len(b) < 3 {
			return nil, faults.Corrupt("a chunk's header of %d bytes", len(b))
		}
		header := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		n := header >> 1
		if b = b[3:]; n > len(b) {
			return nil, faults.Corrupt("a chunk of %d bytes in %d", n, len(b))
		}
		part, err := b[:n], error(nil)
		if header&1 == 0 {
			part, err = codec.Expand(how, part, most)
		}
		if err != nil {
			return nil, err
		}
		if b = b[n:]; len(b) == 0 && out == nil {
			return part, nil
		}
		if out = append(out, part...); len(out) > MaxFooter {
			return nil, faults.TooLarge("a footer of more than %d bytes once expanded", MaxFooter)
		}
	}
	return out, nil
}

// fields walks a message: visit gets a number, or the bytes of what has a length (not nil). It does not go into messages, so that no input makes it recurse;
// groups, which ORC does not have, are stepped over to a bounded depth.
func fields(b []byte, visit func(id protowire.Number, v int64, b []byte) error) error {
	for len(b) > 0 {
		id, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return faults.Corrupt("a field's tag: %v", protowire.ParseError(n))
		}
		b = b[n:]
		var v uint64
		var text []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			if text, n = protowire.ConsumeBytes(b); text == nil && n >= 0 {
				text = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(id, typ, b)
		}
		if n < 0 {
			return faults.Corrupt("field %d: %v", id, protowire.ParseError(n))
		}
		b = b[n:]
		if err := visit(id, int64(v), text); err != nil {
			return err
		}
	}
	return nil
}
