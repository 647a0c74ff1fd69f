package hdfs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
)

// object is the file that a status speaks of. The status must be located.
//
// What names bytes, measured on a NameNode of Hadoop 3.4: an append bumps the last block's generation stamp only at its first flush, and bytes that
// follow in the same stream grow the block under one stamp, so the bytes counted are part of every name; modification times can be set at will and
// stand still while flushed bytes become visible, so no time is. A block that is not complete is reported with the stamp and bytes of before a
// truncate while that is recovered, so what it holds has no name at all.
func (o *Origin) object(path string, s *namenode.Status) (origin.Object, error) {
	obj := origin.Object{Path: path, Size: s.Length, ModTime: time.UnixMilli(s.ModTime).UTC()}
	end := int64(0)
	open := s.UnderConstruction && !s.LastComplete
	for i, b := range s.Blocks {
		if end >= s.Length {
			break
		}
		if b.Offset != end || b.Bytes < 0 {
			return obj, fmt.Errorf("the NameNode's blocks have a gap: block %d begins at %d, the one before it ends at %d", b.ID, b.Offset, end)
		}
		n := min(b.Bytes, s.Length-end)
		if n == 0 {
			continue
		}
		part := origin.Part{Offset: end, Length: n, ID: fmt.Sprintf("%s/%s/%d_%d_%d", o.id, b.Pool, b.ID, b.Stamp, b.Bytes)}
		if !s.LastComplete && i == len(s.Blocks)-1 && (s.Last == nil || s.Last.ID == b.ID) {
			part.ID = ""
		}
		obj.Parts = append(obj.Parts, part)
		end += n
	}
	switch {
	case end < s.Length && !open:
		return obj, fmt.Errorf("the NameNode's blocks end at %d of %d bytes", end, s.Length)
	case end < s.Length:
		obj.Parts = append(obj.Parts, origin.Part{Offset: end, Length: s.Length - end})
	}
	v := version(s)
	if obj.Version = origin.Version(v); !obj.Unfinished() {
		obj.ETag = `"` + v + `"`
	}
	return obj, nil
}

// version hashes what changes whenever the bytes may have: inode, length, whether a block is open, and each block's pool, id, stamp and bytes.
func version(s *namenode.Status) string {
	h := sha256.New()
	var b []byte
	flag := uint64(0)
	if s.UnderConstruction {
		flag = 1
	}
	for _, n := range []uint64{s.FileID, uint64(s.Length), flag} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	add := func(k namenode.Block) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(k.Pool)))
		b = append(b, k.Pool...)
		for _, n := range []uint64{k.ID, k.Stamp, uint64(k.Bytes)} {
			b = binary.BigEndian.AppendUint64(b, n)
		}
	}
	for _, k := range s.Blocks {
		add(k)
	}
	if s.Last != nil && (len(s.Blocks) == 0 || s.Blocks[len(s.Blocks)-1].ID != s.Last.ID) {
		add(*s.Last)
	}
	_, _ = h.Write(b) // never fails
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var (
	errDirectory = errors.New("it is a directory; only files are objects")
	errSymlink   = errors.New("it is a symbolic link, which HDFS leaves to its clients to follow: read the link's target")
	errEncrypted = errors.New("it lies in an encryption zone: only the engine's own client has the key, so its pages can only be filled by clients")
	errStriped   = errors.New("it is erasure-coded: its blocks are striped over DataNodes, which the HDFS library cannot read, so its pages can only be filled by clients")
	errNoBlocks  = errors.New("the NameNode told no blocks")
)

// readable says why a path cannot be read through.
func readable(op, path string, s *namenode.Status) error {
	switch {
	case s == nil:
		return origin.NewError(origin.ErrNotFound, op, path, nil)
	case s.Kind == namenode.Directory:
		return origin.NewError(origin.ErrNotFound, op, path, errDirectory)
	case s.Kind == namenode.Symlink:
		return origin.NewError(origin.ErrUnsupported, op, path, errSymlink)
	case s.Encrypted:
		return origin.NewError(origin.ErrUnsupported, op, path, errEncrypted)
	case s.Striped:
		return origin.NewError(origin.ErrUnsupported, op, path, errStriped)
	case !s.Located:
		return origin.NewError(origin.ErrUnavailable, op, path, errNoBlocks)
	}
	return nil
}
