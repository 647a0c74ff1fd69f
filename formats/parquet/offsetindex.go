package parquet

import "fmt"

// PageLocation is where one data page lies, as the offset index has it and unchecked.
type PageLocation struct {
	Offset         int64 // from the file's start
	CompressedSize int64 // with the page's header
	FirstRow       int64 // within the row group
}

// ReadOffsetIndex calls visit for every data page of an offset index, in the index's order. Bytes after the index are ignored. An
// error of visit ends the reading and is returned as it is; other errors wrap ErrCorrupt.
func ReadOffsetIndex(b []byte, visit func(PageLocation) error) error {
	d := &decoder{b: b}
	seen := false
	err := d.fields(func(id int, typ byte) error {
		if id != 1 { // OffsetIndex.page_locations
			return d.skip(typ)
		}
		seen = true
		return d.pageLocations(typ, visit)
	})
	if err != nil {
		return err
	}
	if !seen {
		return fmt.Errorf("%w: offset index without page locations", ErrCorrupt)
	}
	return nil
}

func (d *decoder) pageLocations(typ byte, visit func(PageLocation) error) error {
	n, err := d.structs(typ)
	if err != nil {
		return err
	}
	for range n {
		l, err := d.pageLocation()
		if err != nil {
			return err
		}
		if err := visit(l); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) pageLocation() (l PageLocation, err error) {
	hasOffset := false
	err = d.fields(func(id int, typ byte) (err error) {
		switch id {
		case 1:
			hasOffset = true
			l.Offset, err = d.integer(typ)
		case 2:
			l.CompressedSize, err = d.integer(typ)
		case 3:
			l.FirstRow, err = d.integer(typ)
		default:
			err = d.skip(typ)
		}
		return err
	})
	if err != nil {
		return l, err
	}
	if !hasOffset {
		return l, d.corrupt("page location without an offset")
	}
	return l, nil
}
