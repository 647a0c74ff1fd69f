package avro

import (
	"encoding/binary"
	"math"

	"github.com/alio-lake/alio/formats/codec"
	"github.com/alio-lake/alio/formats/faults"
)

// Magic begins every Avro object container file.
const Magic = "Obj\x01"

// Limits of a file, so that a small one that promises much takes neither memory nor time.
const (
	maxBlock  = 16 << 20 // bytes of a block once expanded
	maxTotal  = 64 << 20 // bytes of all blocks once expanded
	maxValues = 4 << 20  // values of all blocks: those of no bytes (null, empty records) can be many in few bytes
	syncSize  = 16
)

// Value is a number or a text in a file. Text is valid until visit returns.
type Value struct {
	Path string // the names of the fields that lead to it, with dots; arrays, maps and unions add nothing
	Text []byte // of a string or bytes
	Int  int64  // of an int or long
}

// Read calls visit for every number (int, long) and text (string, bytes) of an object container file, in the file's order, and after each whole datum
// with an empty Path. An error of visit ends the reading and is returned as it is. Other errors are faults.ErrCorrupt and faults.ErrTooLarge; what
// was visited before them was there.
func Read(file []byte, visit func(Value) error) error {
	d := &decoder{b: file, visit: visit, values: maxValues}
	how, root, err := d.header()
	if err != nil {
		return err
	}
	sync, total := d.b[d.pos-syncSize:d.pos], 0
	for d.pos < len(d.b) {
		count, block, err := d.block(sync)
		if err != nil {
			return err
		}
		if block, err = how.expand(block); err != nil {
			return err
		}
		if total += len(block); total > maxTotal {
			return faults.TooLarge("more than %d bytes of blocks", maxTotal)
		}
		in := &decoder{b: block, visit: visit, values: d.values}
		for range count {
			if err := in.value(root); err != nil {
				return err
			}
			if err := visit(Value{}); err != nil {
				return err
			}
		}
		d.values = in.values
	}
	return nil
}

// compression is how a file's blocks are compressed.
type compression struct {
	codec codec.Codec
	sum   int // bytes after the data that are a checksum of it
}

var compressions = map[string]compression{"": {}, "null": {}, "deflate": {codec: codec.Deflate}, "snappy": {codec.Snappy, 4},
	"zstandard": {codec: codec.Zstd}, "bzip2": {codec: codec.Bzip2}}

func (c compression) expand(block []byte) ([]byte, error) {
	if len(block) < c.sum {
		return nil, faults.Corrupt("a block of %d bytes", len(block))
	}
	return codec.Expand(c.codec, block[:len(block)-c.sum], maxBlock)
}

// decoder walks bytes in Avro's binary encoding.
type decoder struct {
	b      []byte
	pos    int
	values int // that may still come
	visit  func(Value) error
}

// header reads a file's magic, metadata and sync marker.
func (d *decoder) header() (how compression, root *node, err error) {
	if len(d.b) < len(Magic) || string(d.b[:len(Magic)]) != Magic {
		return how, nil, faults.Corrupt("no Avro file")
	}
	d.pos = len(Magic)
	var schema []byte
	name := ""
	err = d.blocks(func() error {
		key, err := d.text()
		if err != nil {
			return err
		}
		value, err := d.text()
		switch string(key) {
		case "avro.schema":
			schema = value
		case "avro.codec":
			name = string(value)
		}
		return err
	})
	if err != nil {
		return how, nil, err
	}
	if err := d.step(syncSize); err != nil {
		return how, nil, err
	}
	how, ok := compressions[name]
	if !ok {
		return how, nil, faults.TooLarge("codec %q is none that this build reads", name)
	}
	root, err = compile(schema)
	return how, root, err
}

// block reads a block's count and bytes, and the marker after it.
func (d *decoder) block(sync []byte) (count int64, block []byte, err error) {
	if count, err = d.long(); err != nil {
		return 0, nil, err
	}
	if block, err = d.text(); err != nil {
		return 0, nil, err
	}
	if err = d.step(syncSize); err != nil {
		return 0, nil, err
	}
	if string(d.b[d.pos-syncSize:d.pos]) != string(sync) {
		return 0, nil, faults.Corrupt("no sync marker after a block at byte %d", d.pos)
	}
	if count < 0 || count > maxValues {
		return 0, nil, faults.TooLarge("a block of %d values", count)
	}
	return count, block, nil
}

// value reads a value of a type; it goes no deeper than the schema.
func (d *decoder) value(n *node) (err error) {
	if d.values--; d.values < 0 {
		return faults.TooLarge("more than %d values", maxValues)
	}
	v := Value{Path: n.path}
	switch n.form {
	case null:
		return nil
	case boolean:
		return d.step(1)
	case float:
		return d.step(4)
	case double:
		return d.step(8)
	case fixed:
		return d.step(n.size)
	case enum:
		_, err = d.long()
		return err
	case integer:
		if v.Int, err = d.long(); err != nil {
			return err
		}
		return d.visit(v)
	case text:
		if v.Text, err = d.text(); err != nil {
			return err
		}
		return d.visit(v)
	}
	return d.compound(n)
}

func (d *decoder) compound(n *node) error {
	switch n.form {
	case array:
		return d.blocks(func() error { return d.value(n.below[0]) })
	case mapping:
		return d.blocks(func() error {
			if _, err := d.text(); err != nil {
				return err
			}
			return d.value(n.below[0])
		})
	case union:
		i, err := d.long()
		if err != nil {
			return err
		}
		if i < 0 || i >= int64(len(n.below)) {
			return faults.Corrupt("branch %d of a union of %d", i, len(n.below))
		}
		return d.value(n.below[i])
	}
	for _, field := range n.below {
		if err := d.value(field); err != nil {
			return err
		}
	}
	return nil
}

// blocks reads the items of an array or a map.
func (d *decoder) blocks(item func() error) error {
	for {
		count, err := d.long()
		if err != nil || count == 0 {
			return err
		}
		if count < 0 { // its size in bytes comes before the items
			if _, err := d.long(); err != nil {
				return err
			}
			count = -max(count, -math.MaxInt64)
		}
		for range count {
			if err := item(); err != nil {
				return err
			}
		}
	}
}

// long reads a zigzag varint.
func (d *decoder) long() (int64, error) {
	v, n := binary.Varint(d.b[d.pos:])
	if n <= 0 {
		return 0, faults.Corrupt("no number at byte %d", d.pos)
	}
	d.pos += n
	return v, nil
}

// text reads a string or bytes: a part of the buffer.
func (d *decoder) text() ([]byte, error) {
	n, err := d.long()
	if err != nil {
		return nil, err
	}
	if err := d.step(n); err != nil {
		return nil, err
	}
	return d.b[d.pos-int(n) : d.pos], nil
}

func (d *decoder) step(n int64) error {
	if n < 0 || n > int64(len(d.b)-d.pos) {
		return faults.Corrupt("%d bytes at byte %d of %d", n, d.pos, len(d.b))
	}
	d.pos += int(n)
	return nil
}
