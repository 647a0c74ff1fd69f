package parquet

import (
	"encoding/binary"
	"math/bits"
)

// fastDepth is how deep skipFast follows containers. What is deeper, as nothing in a footer of today is, goes the careful way.
const fastDepth = 4

// skipFast steps over the value of a field as plain footers have it, and returns where the next one starts; -1 where anything is unusual, bad bytes among
// it: decoder.skip then goes the careful way from the same place and says what is wrong. Most of a footer's bytes (statistics, encodings, names) are skipped here.
func skipFast(b []byte, pos int, typ byte, depth int) int {
	switch typ {
	case typeTrue, typeFalse:
		return pos
	case typeI16, typeI32, typeI64:
		return skipVarint(b, pos)
	case typeBinary:
		return skipBinary(b, pos)
	case typeDouble:
		if pos+8 <= len(b) {
			return pos + 8
		}
		return -1
	case typeStruct:
		return skipStruct(b, pos, depth)
	case typeList:
		return skipList(b, pos, depth)
	}
	return -1
}

// tops are the top bits of eight bytes: a number goes on while they are set.
const tops = 0x8080808080808080

// skipVarint steps over a number of up to nine bytes.
func skipVarint(b []byte, pos int) int {
	if len(b)-pos >= 8 {
		if ends := ^binary.LittleEndian.Uint64(b[pos:]) & tops; ends != 0 {
			return pos + bits.TrailingZeros64(ends)/8 + 1
		}
	}
	return skipLong(b, pos)
}

// skipLong is skipVarint for a number of nine bytes, or near the end.
func skipLong(b []byte, pos int) int {
	for end := min(pos+maxVarint-1, len(b)); pos < end; pos++ {
		if b[pos] < 0x80 {
			return pos + 1
		}
	}
	return -1
}

// skipBinary steps over up to 16 KiB.
func skipBinary(b []byte, pos int) int {
	if pos+1 >= len(b) {
		return -1
	}
	n := int(b[pos])
	pos++
	if n >= 0x80 {
		if b[pos] >= 0x80 {
			return -1
		}
		n = n&0x7f | int(b[pos])<<7
		pos++
	}
	if n > len(b)-pos {
		return -1
	}
	return pos + n
}

func skipStruct(b []byte, pos, depth int) int {
	if depth == 0 {
		return -1
	}
	for pos >= 0 && pos < len(b) {
		h := b[pos]
		pos++
		if h == typeStop {
			return pos
		}
		if h>>4 == 0 {
			return -1 // a field's number that is written out
		}
		switch h & 0x0f {
		case typeI32, typeI64:
			pos = skipVarint(b, pos)
		case typeBinary:
			pos = skipBinary(b, pos)
		default:
			pos = skipFast(b, pos, h&0x0f, depth-1)
		}
	}
	return -1
}

// skipList steps over a list of up to 14 values.
func skipList(b []byte, pos, depth int) int {
	if pos >= len(b) || depth == 0 {
		return -1
	}
	h := b[pos]
	pos++
	n, elem := int(h>>4), h&0x0f
	if n == 15 || elem == typeTrue || elem == typeFalse { // a bool takes a byte in a list, none in a struct
		return -1
	}
	switch elem {
	case typeI32, typeI64:
		for ; n > 0 && pos >= 0; n-- {
			if pos < len(b) && b[pos] < 0x80 { // encodings are small numbers
				pos++
			} else {
				pos = skipVarint(b, pos)
			}
		}
	case typeBinary:
		for ; n > 0 && pos >= 0; n-- {
			pos = skipBinary(b, pos)
		}
	case typeStruct:
		for ; n > 0 && pos >= 0; n-- {
			pos = skipStruct(b, pos, depth-1)
		}
	default:
		for ; n > 0 && pos >= 0; n-- {
			pos = skipFast(b, pos, elem, depth-1)
		}
	}
	return pos
}

// run is a part of a footer, n bytes from at on.
type run struct{ at, n int }

// again reports whether the bytes at pos are those of r: where they begin in the same state they say the same.
func (r run) again(b []byte, pos int) bool {
	return r.n > 0 && r.n <= len(b)-pos && string(b[pos:pos+r.n]) == string(b[r.at:r.at+r.n])
}

// column is what the chunks of a column have in common as a rule, where one of them was read: the fields of ColumnMetaData before its counts (type, encodings,
// path, codec), of which last is the last, and its encoding_stats. They are a third of a footer with statistics, and most of its values.
type column struct {
	head, encodings run
	last            int
}

// maxColumns is of how many columns this is remembered; those beyond take turns.
const maxColumns = 4096

// headEnd is the last field that may be in a column's head, encodingStats the field of that name.
const headEnd, encodingStats = 4, 13

// chunkFast reads a plain ColumnChunk into c, which is zero but for its ordinals, and returns where the next one starts; -1 where anything is unusual:
// columnChunk then goes the careful way from the same place. like is what the same footer has told of the column, and is told more.
func chunkFast(b []byte, pos int, c *Chunk, like *column) int {
	known := false
	for id := 0; pos >= 0 && pos < len(b); {
		h := b[pos]
		pos++
		if h == typeStop {
			if !known {
				return -1
			}
			return pos
		}
		if h>>4 == 0 {
			return -1
		}
		id += int(h >> 4)
		switch {
		case id == 3 && h&0x0f == typeStruct && !known:
			known = true
			pos = metaDataFast(b, pos, c, like)
		case id == 4 && h&0x0f == typeI64:
			c.OffsetIndexOffset, pos = number(b, pos)
		case id == 5 && h&0x0f == typeI32:
			c.OffsetIndexLength, pos = number(b, pos)
		case id == 6 && h&0x0f == typeI64:
			c.ColumnIndexOffset, pos = number(b, pos)
		case id == 7 && h&0x0f == typeI32:
			c.ColumnIndexLength, pos = number(b, pos)
		case id == 1 || id >= 3 && id <= 7: // a path, or a field of another type than it should be
			return -1
		default:
			pos = skipFast(b, pos, h&0x0f, fastDepth)
		}
	}
	return -1
}

// metaDataFast reads a plain ColumnMetaData.
func metaDataFast(b []byte, pos int, c *Chunk, like *column) int {
	has := 0
	pos, id := headFast(b, pos, like)
	if next := countsFast(b, pos, id, c); next >= 0 {
		pos, id, has = next, 9, 1<<7|1<<9
	}
	for pos >= 0 && pos < len(b) {
		h := b[pos]
		if h == typeStop {
			if has != 1<<7|1<<9 {
				return -1
			}
			return pos + 1
		}
		if h>>4 == 0 {
			return -1
		}
		id += int(h >> 4)
		isNumber := h&0x0f == typeI64 || h&0x0f == typeI32
		if 1<<id&wanted == 0 {
			if isNumber {
				pos = skipVarint(b, pos+1)
			} else {
				pos = skipKnown(b, pos, id, like)
			}
			continue
		}
		if !isNumber {
			return -1
		}
		var v int64
		v, pos = number(b, pos+1)
		switch id {
		case 7:
			c.CompressedSize = v
			has |= 1 << 7
		case 9:
			c.DataPageOffset = v
			has |= 1 << 9
		case 11:
			c.DictionaryPageOffset = v
		case 14:
			c.BloomFilterOffset = v
		case 15:
			c.BloomFilterLength = v
		}
	}
	return -1
}

// countsFast reads the fields 5, 6, 7 and 9 where they follow a whole head one after the other, as writers have them, and returns where the next one starts; -1 where they do not.
func countsFast(b []byte, pos, id int, c *Chunk) int {
	const next, second = 1<<4 | typeI64, 2<<4 | typeI64 // headers of the next field, and of that after it
	if id != headEnd || pos < 0 || len(b)-pos < 4*maxVarint || b[pos] != next {
		return -1
	}
	if pos = skipVarint(b, pos+1); pos < 0 || b[pos] != next {
		return -1
	}
	if pos = skipVarint(b, pos+1); pos < 0 || b[pos] != next {
		return -1
	}
	size, pos := number(b, pos+1)
	if pos < 0 || b[pos] != second {
		return -1
	}
	data, pos := number(b, pos+1)
	if pos >= 0 {
		c.CompressedSize, c.DataPageOffset = size, data
	}
	return pos
}

// headFast steps over the head of a ColumnMetaData, to the first field after it, and returns the last field's id.
func headFast(b []byte, pos int, like *column) (next, id int) {
	if like.head.again(b, pos) {
		return pos + like.head.n, like.last
	}
	start := pos
	for pos >= 0 && pos < len(b) {
		h := b[pos]
		delta := int(h >> 4)
		if delta == 0 || id+delta > headEnd { // also where the struct stops; who reads on sees to it
			like.head, like.last = run{start, pos - start}, id
			return pos, id
		}
		id += delta
		pos = skipFast(b, pos+1, h&0x0f, fastDepth)
	}
	return -1, id
}

// skipKnown steps over a field, of which the header is at pos.
func skipKnown(b []byte, pos, id int, like *column) int {
	if id != encodingStats {
		return skipFast(b, pos+1, b[pos]&0x0f, fastDepth)
	}
	if like.encodings.again(b, pos) {
		return pos + like.encodings.n
	}
	next := skipFast(b, pos+1, b[pos]&0x0f, fastDepth)
	like.encodings = run{pos, next - pos}
	return next
}

// wanted are the fields of ColumnMetaData that say where things lie.
const wanted = 1<<7 | 1<<9 | 1<<11 | 1<<14 | 1<<15

// number reads a zigzag number of up to nine bytes; -1 for its end if it is longer, or cut.
func number(b []byte, pos int) (v int64, next int) {
	if len(b)-pos >= 8 {
		x := binary.LittleEndian.Uint64(b[pos:])
		if ends := ^x & tops; ends != 0 {
			n := bits.TrailingZeros64(ends) + 1 // bits that it takes
			u := x << (64 - n) >> (64 - n) &^ tops
			// Eight groups of 7 bits, each in a byte of its own, move together: by pairs, by fours, by eights.
			u = u&0x007f007f007f007f | u&0x7f007f007f007f00>>1
			u = u&0x00003fff00003fff | u&0x3fff00003fff0000>>2
			u = u&0x000000000fffffff | u&0x0fffffff00000000>>4
			return int64(u>>1) ^ -int64(u&1), pos + n/8
		}
	}
	return longNumber(b, pos)
}

// longNumber is number for one of nine bytes, or near the end.
func longNumber(b []byte, pos int) (v int64, next int) {
	var u uint64
	for shift := uint(0); pos < len(b) && shift < 7*(maxVarint-1); shift += 7 {
		x := b[pos]
		pos++
		if x < 0x80 {
			u |= uint64(x) << shift
			return int64(u>>1) ^ -int64(u&1), pos
		}
		u |= uint64(x&0x7f) << shift
	}
	return 0, -1
}
