package parquet

import (
	"encoding/binary"
	"fmt"
)

const (
	// Magic begins and ends every Parquet file whose footer is not encrypted.
	Magic = "PAR1"
	// MagicEncrypted is in its place in a file whose footer is encrypted.
	MagicEncrypted = "PARE"
	// TrailerSize is the size of what ends a file: the footer's length (4 bytes, little endian) and Magic.
	TrailerSize = 8
)

// Chunk says where a column chunk, its indexes and its bloom filter lie in the file. All values are as the footer has them, in bytes
// from the file's start, and unchecked; 0 means absent except where said.
type Chunk struct {
	RowGroup, Column     int   // ordinals, from 0
	DataPageOffset       int64 // the first data page, see Data; always present
	DictionaryPageOffset int64
	CompressedSize       int64 // of all pages with their headers, the dictionary page included; always present
	BloomFilterOffset    int64
	BloomFilterLength    int64 // 0 where the writer did not say (it became a field in parquet-format 2.10)
	OffsetIndexOffset    int64
	OffsetIndexLength    int64
	ColumnIndexOffset    int64
	ColumnIndexLength    int64
}

// Start is the chunk's first byte: its dictionary page where it has one before its data pages (some writers set the field without
// one, to 0 or beyond), else its first data page.
func (c *Chunk) Start() int64 {
	if c.DictionaryPageOffset > 0 && (c.DictionaryPageOffset < c.DataPageOffset || c.DataPageOffset <= 0) {
		return c.DictionaryPageOffset
	}
	return c.DataPageOffset
}

// Data is where the chunk's data pages start: at the chunk's end if it has none (pyarrow writes a dictionary page alone, and 0 for the
// first data page, where a row group has no rows). CompressedSize must have been checked.
func (c *Chunk) Data() int64 {
	if start := c.Start(); c.DataPageOffset <= 0 {
		return start + c.CompressedSize
	}
	return c.DataPageOffset
}

// Trailer reads the end of a file: the length of the footer, which ends where the trailer begins. ok is false if the file does not
// end as a Parquet file does. An encrypted footer cannot be read; only where it is is known.
func Trailer(tail []byte) (length int64, encrypted, ok bool) {
	if len(tail) < TrailerSize {
		return 0, false, false
	}
	magic := string(tail[len(tail)-len(Magic):])
	return int64(binary.LittleEndian.Uint32(tail[len(tail)-TrailerSize:])), magic == MagicEncrypted, magic == Magic || magic == MagicEncrypted
}

// ReadFooter calls visit for every column chunk of a footer (the Thrift bytes alone, without the trailer) whose place in this file is
// known, in the footer's order. Chunks that lie in another file, or whose metadata is encrypted, are left out. The Chunk is reused
// after visit returns. An error of visit ends the reading and is returned as it is; other errors wrap ErrCorrupt, and what was
// visited before them proves nothing.
func ReadFooter(footer []byte, visit func(*Chunk) error) error {
	d := &decoder{b: footer}
	seen := false
	err := d.fields(func(id int, typ byte) error {
		if id != 4 { // FileMetaData.row_groups
			return d.skip(typ)
		}
		if seen {
			return d.corrupt("two lists of row groups")
		}
		seen = true
		return d.rowGroups(typ, visit)
	})
	if err != nil {
		return err
	}
	if !seen {
		return fmt.Errorf("%w: footer without row groups", ErrCorrupt)
	}
	return nil
}

// rowGroups reads FileMetaData.row_groups.
func (d *decoder) rowGroups(typ byte, visit func(*Chunk) error) error {
	n, err := d.structs(typ)
	if err != nil {
		return err
	}
	var c Chunk
	for g := range n {
		err := d.fields(func(id int, typ byte) error {
			if id != 1 { // RowGroup.columns
				return d.skip(typ)
			}
			return d.columns(typ, g, &c, visit)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// columns reads RowGroup.columns of row group g.
func (d *decoder) columns(typ byte, g int, c *Chunk, visit func(*Chunk) error) error {
	n, err := d.structs(typ)
	if err != nil {
		return err
	}
	d.know(n)
	for i := range n {
		*c = Chunk{RowGroup: g, Column: i}
		known := true
		if next := chunkFast(d.b, d.pos, c, &d.known[i%maxColumns]); next >= 0 {
			d.pos = next
		} else {
			*c = Chunk{RowGroup: g, Column: i}
			if known, err = d.columnChunk(c); err != nil {
				return err
			}
		}
		if !known {
			continue
		}
		if err := visit(c); err != nil {
			return err
		}
	}
	return nil
}

// know makes room for what n columns have in common.
func (d *decoder) know(n int) {
	if n = min(n, maxColumns); n > len(d.known) {
		d.known = append(d.known, make([]column, n-len(d.known))...)
	}
}

// columnChunk reads a ColumnChunk. known is false if its bytes are elsewhere or its metadata is not readable.
func (d *decoder) columnChunk(c *Chunk) (known bool, err error) {
	elsewhere := false
	for id := 0; ; {
		next, typ, err := d.field(id)
		if err != nil || typ == typeStop {
			return known && !elsewhere, err
		}
		switch next {
		case 1: // file_path; some writers set it to "" for this file
			if typ != typeBinary {
				return false, d.corrupt("file_path of wire type %d", typ)
			}
			var n int
			n, err = d.binary()
			elsewhere = n > 0
		case 3: // meta_data
			known = true
			err = d.columnMetaData(typ, c)
		case 4:
			c.OffsetIndexOffset, err = d.integer(typ)
		case 5:
			c.OffsetIndexLength, err = d.integer(typ)
		case 6:
			c.ColumnIndexOffset, err = d.integer(typ)
		case 7:
			c.ColumnIndexLength, err = d.integer(typ)
		default:
			err = d.skip(typ)
		}
		if err != nil {
			return false, err
		}
		id = next
	}
}

// columnMetaData reads a ColumnMetaData.
func (d *decoder) columnMetaData(typ byte, c *Chunk) error {
	if typ != typeStruct {
		return d.corrupt("meta_data of wire type %d", typ)
	}
	hasSize, hasData := false, false
	for id := 0; ; {
		next, typ, err := d.field(id)
		if err != nil {
			return err
		}
		if typ == typeStop {
			break
		}
		switch next {
		case 7:
			hasSize = true
			c.CompressedSize, err = d.integer(typ)
		case 9:
			hasData = true
			c.DataPageOffset, err = d.integer(typ)
		case 11:
			c.DictionaryPageOffset, err = d.integer(typ)
		case 14:
			c.BloomFilterOffset, err = d.integer(typ)
		case 15:
			c.BloomFilterLength, err = d.integer(typ)
		default:
			err = d.skip(typ)
		}
		if err != nil {
			return err
		}
		id = next
	}
	if !hasSize || !hasData {
		return d.corrupt("column %d of row group %d has no size or no data page", c.Column, c.RowGroup)
	}
	return nil
}
