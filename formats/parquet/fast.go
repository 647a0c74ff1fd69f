package parquet

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

// skipVarint steps over a number of up to nine bytes.
func skipVarint(b []byte, pos int) int {
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
	for ; n > 0 && pos >= 0; n-- {
		pos = skipFast(b, pos, elem, depth-1)
	}
	return pos
}
