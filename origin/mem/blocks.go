package mem

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/alio-lake/alio/origin"
)

// blocked is an object that lies in blocks, as HDFS keeps its files. It is never changed, only replaced.
type blocked struct {
	size int64 // of a full block
	list []block
	open bool // the last block is under construction
}

// block is one block. Its bytes below a length never change under one stamp: an append goes on under the stamp that is there (as HDFS does until the
// writer's first flush, and some of its clients for ever), so the length belongs to the part's id; a truncation raises the stamp.
type block struct {
	number, stamp, length int64
}

// blockNumbers are given once in the process, stamps too.
var blockNumbers atomic.Int64

// PutBlocks stores a copy of data under path, as Put does, in parts of blockSize bytes. Such an object can be appended to and truncated.
func (o *Origin) PutBlocks(path string, data []byte, blockSize int64) origin.Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := (&blocked{size: blockSize}).appended(int64(len(data)), false)
	return o.keep(path, bytes.Clone(data), b)
}

// Append adds data to an object that PutBlocks made. With open, its last block stays under construction: that part then has no id, and the object no
// ETag, until an Append without open, which may add nothing.
func (o *Origin) Append(path string, data []byte, open bool) (origin.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, err := o.inBlocks("append", path)
	if err != nil {
		return origin.Object{}, err
	}
	return o.keep(path, slices.Concat(s.data, data), s.blocks.appended(int64(len(data)), open)), nil
}

// Truncate cuts an object that PutBlocks made to size bytes, and completes its last block.
func (o *Origin) Truncate(path string, size int64) (origin.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, err := o.inBlocks("truncate", path)
	if err == nil && (size < 0 || size > s.object.Size) {
		err = origin.NewError(origin.ErrInvalid, "truncate", path, fmt.Errorf("%d bytes of %d", size, s.object.Size))
	}
	if err != nil {
		return origin.Object{}, err
	}
	return o.keep(path, s.data[:size:size], s.blocks.truncated(size)), nil
}

func (o *Origin) inBlocks(op, path string) (stored, error) {
	s, ok := o.objects[path]
	switch {
	case !ok:
		return s, origin.NewError(origin.ErrNotFound, op, path, nil)
	case s.blocks == nil:
		return s, origin.NewError(origin.ErrUnsupported, op, path, fmt.Errorf("the object was not made by PutBlocks"))
	}
	return s, nil
}

// appended is b with n bytes more.
func (b *blocked) appended(n int64, open bool) *blocked {
	next := &blocked{size: b.size, list: slices.Clone(b.list), open: open}
	if last := len(next.list) - 1; last >= 0 && next.list[last].length < b.size {
		k := min(n, b.size-next.list[last].length)
		next.list[last].length += k
		n -= k
	}
	for ; n > 0; n -= b.size {
		next.list = append(next.list, block{number: blockNumbers.Add(1), length: min(n, b.size)})
	}
	return next
}

// truncated is b cut to size bytes.
func (b *blocked) truncated(size int64) *blocked {
	next := &blocked{size: b.size}
	for _, one := range b.list {
		if size == 0 {
			break
		}
		if one.length > size {
			one.length, one.stamp = size, blockNumbers.Add(1)
		}
		size -= one.length
		next.list = append(next.list, one)
	}
	return next
}

// keep stores an object in blocks at a new version and returns it. The caller holds mu; data is not copied.
func (o *Origin) keep(path string, data []byte, b *blocked) origin.Object {
	n := versions.Add(1)
	obj := origin.Object{
		Path: path, Version: origin.Version(fmt.Sprintf("v%d", n)), Size: int64(len(data)), ModTime: time.Now().UTC().Truncate(time.Second),
		ETag: fmt.Sprintf(`"e%d"`, n), Attributes: map[string]string{},
	}
	at := int64(0)
	for i, one := range b.list {
		p := origin.Part{ID: fmt.Sprintf("%s/blk_%d_%d_%d", o.ID(), one.number, one.stamp, one.length), Offset: at, Length: one.length}
		if b.open && i == len(b.list)-1 {
			p.ID, obj.ETag = "", ""
		}
		obj.Parts = append(obj.Parts, p)
		at += one.length
	}
	o.objects[path] = stored{object: obj, data: data, blocks: b}
	return o.seen(obj)
}
