package parquet

import (
	"errors"
	"hash/fnv"
)

// errEnough ends the reading of a footer of which no more is wanted.
var errEnough = errors.New("enough")

// ReadColumnNames calls visit for every column of a footer's first row group, in order, with a hash of its full name (the path in the schema): columns
// are told apart by it across files, whatever their order. A column whose metadata cannot be read has the hash 0. Errors wrap ErrCorrupt.
func ReadColumnNames(footer []byte, visit func(column int, name uint64)) error {
	d := &decoder{b: footer}
	done := false
	err := d.fields(func(id int, typ byte) error {
		if id != 4 || done { // FileMetaData.row_groups
			return d.skip(typ)
		}
		done = true
		return d.firstGroup(typ, visit)
	})
	if err == errEnough {
		return nil
	}
	return err
}

// firstGroup reads the first of FileMetaData.row_groups, and no more of the footer.
func (d *decoder) firstGroup(typ byte, visit func(int, uint64)) error {
	n, err := d.structs(typ)
	if err != nil || n == 0 {
		return err
	}
	err = d.fields(func(id int, typ byte) error {
		if id != 1 { // RowGroup.columns
			return d.skip(typ)
		}
		n, err := d.structs(typ)
		for i := 0; i < n && err == nil; i++ {
			var name uint64
			name, err = d.columnName()
			visit(i, name)
		}
		return err
	})
	if err == nil {
		err = errEnough
	}
	return err
}

// columnName reads a ColumnChunk for its ColumnMetaData.path_in_schema.
func (d *decoder) columnName() (name uint64, err error) {
	err = d.fields(func(id int, typ byte) error {
		if id != 3 || typ != typeStruct { // ColumnChunk.meta_data
			return d.skip(typ)
		}
		return d.fields(func(id int, typ byte) error {
			if id != 3 || typ != typeList {
				return d.skip(typ)
			}
			name, err = d.hashStrings()
			return err
		})
	})
	return name, err
}

// hashStrings reads a list of strings. The hash is of their lengths too, so that no two lists of parts are taken for one.
func (d *decoder) hashStrings() (uint64, error) {
	elem, n, err := d.list()
	if err != nil {
		return 0, err
	}
	if n > 0 && elem != typeBinary {
		return 0, d.corrupt("list of wire type %d where strings were expected", elem)
	}
	h := fnv.New64a()
	for range n {
		length, err := d.binary()
		if err != nil {
			return 0, err
		}
		h.Write([]byte{byte(length), byte(length >> 8)})
		h.Write(d.b[d.pos-length : d.pos])
	}
	return h.Sum64(), nil
}
