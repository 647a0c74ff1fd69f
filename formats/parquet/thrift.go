package parquet

import (
	"fmt"

	"github.com/alio-lake/alio/formats/faults"
)

// ErrCorrupt is what every error about the bytes themselves wraps.
var ErrCorrupt = faults.ErrCorrupt

// The wire types of Thrift's compact protocol.
const (
	typeStop   = 0
	typeTrue   = 1
	typeFalse  = 2
	typeByte   = 3
	typeI16    = 4
	typeI32    = 5
	typeI64    = 6
	typeDouble = 7
	typeBinary = 8
	typeList   = 9
	typeSet    = 10
	typeMap    = 11
	typeStruct = 12
	typeUUID   = 13
)

// maxDepth bounds how deeply skipped values may nest. FileMetaData of parquet-format 2.11 needs 6.
const maxDepth = 32

// maxVarint is the length of the longest varint of 64 bits.
const maxVarint = 10

// decoder walks a buffer in Thrift's compact protocol. After an error it must not be used again.
type decoder struct {
	b   []byte
	pos int
	// stack holds the containers that skip is inside of, so that no input can make it recurse.
	stack [maxDepth]frame
	// known is what the columns of the row groups so far have in common, each at its ordinal.
	known []column
}

// frame is a container being skipped.
type frame struct {
	left       int  // values of a list, set or map still to come
	key, value byte // their wire types: maps alternate, lists and sets use value alone
	fields     bool // a struct: goes on until its stop field
}

// corrupt makes an error that says where in the buffer it was found.
func (d *decoder) corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: thrift at byte %d: %s", ErrCorrupt, d.pos, fmt.Sprintf(format, args...))
}

func (d *decoder) byte() (byte, error) {
	if d.pos >= len(d.b) {
		return 0, d.corrupt("unexpected end")
	}
	c := d.b[d.pos]
	d.pos++
	return c, nil
}

// uvarint reads an unsigned varint of at most 64 bits.
func (d *decoder) uvarint() (uint64, error) {
	var v uint64
	for i := range maxVarint {
		if d.pos >= len(d.b) {
			return 0, d.corrupt("unexpected end in a number")
		}
		c := d.b[d.pos]
		d.pos++
		if c < 0x80 {
			if i == maxVarint-1 && c > 1 {
				break
			}
			return v | uint64(c)<<(7*i), nil
		}
		v |= uint64(c&0x7f) << (7 * i)
	}
	return 0, d.corrupt("number longer than 64 bits")
}

// integer reads the value of a field of one of the zigzag types.
func (d *decoder) integer(typ byte) (int64, error) {
	if typ != typeI64 && typ != typeI32 && typ != typeI16 {
		return 0, d.corrupt("wire type %d where an integer was expected", typ)
	}
	u, err := d.uvarint()
	return int64(u>>1) ^ -int64(u&1), err
}

// field reads a field's header; last is the id of the field before it in the same struct. typeStop ends the struct. The value of a
// bool is in its type and has no bytes.
func (d *decoder) field(last int) (id int, typ byte, err error) {
	if d.pos >= len(d.b) {
		return 0, typeStop, d.corrupt("unexpected end")
	}
	h := d.b[d.pos]
	d.pos++
	if h&0x0f == typeStop {
		return 0, typeStop, nil
	}
	if delta := int(h >> 4); delta != 0 {
		return last + delta, h & 0x0f, nil
	}
	return d.longField(h & 0x0f)
}

// longField reads the number of a field that is written out.
func (d *decoder) longField(typ byte) (int, byte, error) {
	u, err := d.uvarint()
	if err != nil {
		return 0, 0, err
	}
	if u > 1<<16-1 {
		return 0, 0, d.corrupt("field id beyond 16 bits")
	}
	return int(u>>1) ^ -int(u&1), typ, nil
}

// fields reads a struct: it calls value for every field in turn, which must read or skip the field's value. An error of value ends the
// reading and is returned as it is.
func (d *decoder) fields(value func(id int, typ byte) error) error {
	for id := 0; ; {
		next, typ, err := d.field(id)
		if err != nil || typ == typeStop {
			return err
		}
		if err := value(next, typ); err != nil {
			return err
		}
		id = next
	}
}

// list reads the header of a list or set. Every element takes at least one byte, so a count is never more than what is left.
func (d *decoder) list() (elem byte, n int, err error) {
	h, err := d.byte()
	if err != nil {
		return 0, 0, err
	}
	count := uint64(h >> 4)
	if count == 15 {
		if count, err = d.uvarint(); err != nil {
			return 0, 0, err
		}
	}
	if count > uint64(len(d.b)-d.pos) {
		return 0, 0, d.corrupt("list of %d values in %d bytes", count, len(d.b)-d.pos)
	}
	return h & 0x0f, int(count), nil
}

// structs reads the header of a list that must hold structs.
func (d *decoder) structs(typ byte) (int, error) {
	if typ != typeList {
		return 0, d.corrupt("wire type %d where a list was expected", typ)
	}
	elem, n, err := d.list()
	if err == nil && n > 0 && elem != typeStruct {
		return 0, d.corrupt("list of wire type %d where structs were expected", elem)
	}
	return n, err
}

// binary reads the length of a binary value and steps over it.
func (d *decoder) binary() (length int, err error) {
	n, err := d.uvarint()
	if err != nil {
		return 0, err
	}
	if n > uint64(len(d.b)-d.pos) {
		return 0, d.corrupt("binary of %d bytes in %d", n, len(d.b)-d.pos)
	}
	d.pos += int(n)
	return int(n), nil
}

// skip steps over the value of a field, however it nests.
func (d *decoder) skip(typ byte) error {
	if next := skipFast(d.b, d.pos, typ, fastDepth); next >= 0 {
		d.pos = next
		return nil
	}
	return d.skipCarefully(typ)
}

// skipCarefully is skip for whatever there may be.
func (d *decoder) skipCarefully(typ byte) error {
	if typ == typeTrue || typ == typeFalse {
		return nil
	}
	depth, err := d.enter(0, typ)
	for err == nil && depth > 0 {
		f := &d.stack[depth-1]
		if f.fields {
			if _, typ, err = d.field(0); err != nil {
				return err
			}
			if typ == typeTrue || typ == typeFalse {
				continue
			}
			if typ == typeStop {
				depth--
				continue
			}
		} else {
			if f.left == 0 {
				depth--
				continue
			}
			f.left--
			typ = f.value
			f.key, f.value = f.value, f.key
		}
		depth, err = d.enter(depth, typ)
	}
	return err
}

// enter steps over a value that is a scalar, or pushes the container that it is. Bools are those in lists and maps: one byte.
func (d *decoder) enter(depth int, typ byte) (int, error) {
	switch typ {
	case typeI16, typeI32, typeI64:
		_, err := d.uvarint()
		return depth, err
	case typeBinary:
		_, err := d.binary()
		return depth, err
	case typeTrue, typeFalse, typeByte:
		return depth, d.step(1)
	case typeDouble:
		return depth, d.step(8)
	case typeUUID:
		return depth, d.step(16)
	}
	if depth == maxDepth {
		return 0, d.corrupt("values nest deeper than %d", maxDepth)
	}
	f := &d.stack[depth]
	var err error
	switch typ {
	case typeStruct:
		*f = frame{fields: true}
	case typeList, typeSet:
		*f = frame{}
		f.value, f.left, err = d.list()
		f.key = f.value
	case typeMap:
		*f, err = d.mapping()
	default:
		return 0, d.corrupt("unknown wire type %d", typ)
	}
	return depth + 1, err
}

// mapping reads the header of a map: its count and, unless it is empty, the types of its keys and values. Keys come first, and skip
// takes value before it swaps, so the two are stored crossed.
func (d *decoder) mapping() (frame, error) {
	n, err := d.uvarint()
	if err != nil || n == 0 {
		return frame{}, err
	}
	h, err := d.byte()
	if err != nil {
		return frame{}, err
	}
	if n > uint64(len(d.b)-d.pos)/2 {
		return frame{}, d.corrupt("map of %d entries in %d bytes", n, len(d.b)-d.pos)
	}
	return frame{left: 2 * int(n), value: h >> 4, key: h & 0x0f}, nil
}

func (d *decoder) step(n int) error {
	if n > len(d.b)-d.pos {
		return d.corrupt("unexpected end")
	}
	d.pos += n
	return nil
}
