package orc

import (
	"encoding/binary"
	"hash/fnv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/alio-lake/alio/formats/faults"
)

// MaxColumns is the most columns of a file, those that hold others among them, whose names ReadColumnNames tells.
const MaxColumns = 1 << 16

// Fields of the footer, and of the types in it.
const (
	footerTypes  protowire.Number = 4
	typeKind     protowire.Number = 1
	typeChildren protowire.Number = 2
	typeNames    protowire.Number = 3
	kindStruct                    = 12
)

// ReadColumnNames calls visit for every column of a footer as it lies in the file, in order, with a hash of its full name: the names of the fields that lead to it, and
// for what is in lists, maps and unions its place. Columns are told apart by it across files, whatever their order. Column 0 is the row as a whole. A column
// that no other one holds has the hash 0. Errors are those of ReadFooter.
func (ps *Postscript) ReadColumnNames(footer []byte, visit func(column int, name uint64)) error {
	b, err := ps.expand(footer)
	if err != nil {
		return err
	}
	n := 0
	count := func([]byte) error {
		if n++; n > MaxColumns {
			return faults.TooLarge("more than %d columns", MaxColumns)
		}
		return nil
	}
	if err := eachMessage(b, footerTypes, count); err != nil || n == 0 {
		return err
	}
	names := make([]uint64, n)
	names[0] = fnv.New64a().Sum64()
	at := 0
	err = eachMessage(b, footerTypes, func(b []byte) error {
		at++
		return nameChildren(names, at-1, b)
	})
	if err != nil {
		return err
	}
	for i, name := range names {
		visit(i, name)
	}
	return nil
}

// nameChildren names the columns that column i holds, which come after it.
func nameChildren(names []uint64, i int, b []byte) error {
	var kind int64
	var fieldNames [][]byte
	var children []byte // varints
	err := fields(b, func(id protowire.Number, v int64, b []byte) error {
		switch {
		case id == typeKind:
			kind = v
		case id == typeChildren && b == nil:
			children = protowire.AppendVarint(children, uint64(v))
		case id == typeChildren:
			children = append(children, b...)
		case id == typeNames:
			fieldNames = append(fieldNames, b)
		}
		return nil
	})
	for place := 0; err == nil && len(children) > 0; place++ {
		child, n := protowire.ConsumeVarint(children)
		if n < 0 {
			return faults.Corrupt("the columns in column %d: %v", i, protowire.ParseError(n))
		}
		children = children[n:]
		if child <= uint64(i) || child >= uint64(len(names)) || names[child] != 0 {
			return faults.Corrupt("column %d cannot hold column %d", i, child)
		}
		if names[i] == 0 {
			continue
		}
		var part []byte
		if kind == kindStruct && place < len(fieldNames) {
			part = fieldNames[place]
		}
		names[child] = nameOf(names[i], place, part)
	}
	return err
}

// nameOf is the name of a column in another one: by the name of its field, or else by its place.
func nameOf(parent uint64, place int, field []byte) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, parent))
	if field == nil {
		h.Write([]byte{0, byte(place), byte(place >> 8), byte(place >> 16)})
	} else {
		h.Write([]byte{1})
		h.Write(field)
	}
	return max(h.Sum64(), 1)
}

// eachMessage calls visit for the bytes of every message in a field.
func eachMessage(b []byte, field protowire.Number, visit func([]byte) error) error {
	return fields(b, func(id protowire.Number, _ int64, b []byte) error {
		if id != field || b == nil {
			return nil
		}
		return visit(b)
	})
}
