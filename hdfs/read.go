package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	library "github.com/colinmarc/hdfs/v2"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
)

// Read locates the file and reads the range's first buffer; the body reads further ones as they are asked for. Each costs one look at the file's
// blocks.
func (o *Origin) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	if err := req.Validate(); err != nil {
		return origin.Content{}, err
	}
	obj, s, err := o.locate(ctx, "read", req.Path)
	if err != nil {
		return origin.Content{}, err
	}
	if req.Version != "" && req.Version != obj.Version || req.Version == "" && req.ETag != "" && req.ETag != obj.ETag {
		return origin.Content{}, origin.NewError(origin.ErrVersionChanged, "read", req.Path,
			fmt.Errorf("asked for version %q, the file is at %q", req.Version, obj.Version))
	}
	off, n, err := req.Resolve(obj.Size)
	if err != nil {
		return origin.Content{}, err
	}
	c := origin.Content{Object: obj, Offset: off, Length: n}
	b := &body{o: o, caller: ctx, object: obj, status: s, at: off, end: off + n}
	b.ctx, b.cancel = context.WithCancel(ctx)
	if n > 0 {
		if err := b.fill(); err != nil {
			_ = b.Close() // never fails
			return origin.Content{}, err
		}
	}
	c.Body = b
	return c, nil
}

// body is a range of one version. Read may be called by one goroutine at a time, Close beside it.
type body struct {
	o      *Origin
	caller context.Context
	ctx    context.Context // ends with the caller's, or with Close
	cancel context.CancelFunc
	object origin.Object
	status *namenode.Status
	closed atomic.Bool

	mu      sync.Mutex // held while Read works
	at, end int64      // what has not been read from DataNodes yet
	have    []byte     // read and confirmed, not yet handed out
	buf     []byte
	loan    *loan
	file    *library.FileReader
	done    error
}

// Read hands out bytes of which a look at the blocks after they were read has shown that they belong to the version.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed.Load():
		return 0, origin.NewError(origin.ErrInvalid, "read", b.object.Path, errors.New("the body was closed"))
	case b.done != nil:
		return 0, b.done
	case b.at == b.end && len(b.have) == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	if err := b.caller.Err(); err != nil {
		b.done = b.o.fail(b.caller, "read", b.object.Path, err)
		return 0, b.done
	}
	if len(b.have) == 0 {
		if err := b.fill(); err != nil {
			b.done = err
			return 0, err
		}
	}
	n := copy(p, b.have)
	if b.have = b.have[n:]; len(b.have) == 0 && b.at == b.end {
		b.buf = nil
		return n, io.EOF
	}
	return n, nil
}

// Close ends a read that is under way.
func (b *body) Close() error {
	b.closed.Store(true)
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.release()
	b.have, b.buf = nil, nil
	return nil
}

func (b *body) release() {
	if b.file != nil {
		_ = b.file.Close() // only closes a connection
	}
	if b.loan != nil {
		b.loan.giveBack()
	}
	b.file, b.loan = nil, nil
}

// fill reads the next buffer and confirms it. What fails while the version stands is tried once more with another client: the one at hand may have
// had an old connection.
func (b *body) fill() error {
	n, err := b.present(min(int64(b.o.opts.Buffer), b.end-b.at))
	if int64(cap(b.buf)) < n {
		b.buf = make([]byte, n)
	}
	for try := 0; err == nil; try++ {
		if err = b.readFrom(b.buf[:n]); err == nil {
			if err = b.confirm(); err == nil {
				break
			}
		} else if gone := b.confirm(); gone != nil {
			err = gone // it changed or went, or the NameNode cannot be asked: that is why
		} else if try == 0 && b.ctx.Err() == nil {
			err = nil
		}
		if b.loan != nil {
			b.loan.broken.Store(true)
		}
		b.release()
	}
	if err != nil {
		return b.o.fail(b.caller, "read", b.object.Path, err)
	}
	b.have, b.at = b.buf[:n], b.at+n
	if b.at == b.end {
		b.release()
	}
	return nil
}

// inode is the file's path by its inode, which no rename moves. The NameNode checks permissions on the path that it stands for.
func (b *body) inode() string { return fmt.Sprintf("/.reserved/.inodes/%d", b.status.FileID) }

// readFrom fills p with bytes from at.
func (b *body) readFrom(p []byte) error {
	if b.loan == nil {
		l, err := b.o.pool.borrow(b.ctx)
		if err != nil {
			return err
		}
		b.loan = l
		l.remaining = b.remaining
		if b.file, err = l.open(b.inode(), b.at); err != nil {
			return err
		}
		if id := b.file.Stat().Sys().(*library.FileStatus).GetFileId(); id != b.status.FileID {
			return fmt.Errorf("the inode path of %d leads to %d", b.status.FileID, id)
		}
	}
	n, err := b.loan.read(b.file, p)
	if err != nil {
		k := b.block(b.at + int64(n))
		if k.Replicas == 0 {
			err = fmt.Errorf("%w: %w", errMissing, err)
		}
		return fmt.Errorf("block %d_%d at byte %d of the file: none of its %d replicas could be read; see hdfs fsck %s -files -blocks -locations: %w",
			k.ID, k.Stamp, b.at+int64(n), k.Replicas, b.o.cluster.dir+"/"+b.object.Path, err)
	}
	return nil
}

// remaining is how many bytes from an offset in a block on belong to the range; 0: it is none of the file's blocks.
func (b *body) remaining(block uint64, off int64) int64 {
	for _, k := range b.status.Blocks {
		if k.ID == block {
			return max(0, b.end-(k.Offset+off))
		}
	}
	return 0
}

// block is the block that holds a byte of the file.
func (b *body) block(off int64) namenode.Block {
	for _, k := range b.status.Blocks {
		if off >= k.Offset && off < k.Offset+k.Bytes {
			return k
		}
	}
	if b.status.Last != nil {
		return *b.status.Last
	}
	return namenode.Block{}
}

// errMissing is a block that no DataNode is known to have.
var errMissing = errors.New("missing: no DataNode has it (all that hold it are down, or have not reported yet)")

// reportWait is how long to wait for a DataNode to report a missing block, before each further try. Hadoop's own client waits as often as
// dfs.client.max.block.acquire.failures says (3), up to three, nine and fifteen seconds (DFSInputStream.chooseDataNode).
const reportWait = time.Second

// present is how many of the next n bytes are before a block that no DataNode has whole; an error if that is the first of them.
func (b *body) present(n int64) (int64, error) {
	for _, k := range b.status.Blocks {
		if k.Offset+k.Bytes <= b.at || k.Offset >= b.at+n || !k.Corrupt && k.Replicas > 0 {
			continue
		}
		if k.Offset > b.at {
			return k.Offset - b.at, nil
		}
		why := errMissing
		if k.Corrupt {
			why = errors.New("corrupt in every replica")
		}
		return n, fmt.Errorf("block %d_%d at byte %d of the file is %w; see hdfs fsck %s -files -blocks -locations",
			k.ID, k.Stamp, b.at, why, b.o.cluster.dir+"/"+b.object.Path)
	}
	return n, nil
}

// confirm locates the inode again. That it is still at the version means that all bytes read since it was first located are of that version: an
// inode may come back to one (closed after an append and then being truncated, it looks as it did while it was appended to), but not once other bytes
// have stood in it, for those came with a block or a stamp of their own. Bytes come through the inode, so what happens to the path meanwhile does not
// matter.
func (b *body) confirm() error {
	s, err := b.o.names.Locate(b.ctx, b.inode())
	if err != nil {
		return b.o.fail(b.caller, "read", b.object.Path, err)
	}
	if s != nil && s.FileID == b.status.FileID && s.Located && version(s) == string(b.object.Version) {
		return nil
	}
	now, _, err := b.o.locate(b.ctx, "read", b.object.Path)
	if err != nil {
		return err
	}
	if s == nil && now.Version == b.object.Version {
		return origin.NewError(origin.ErrUnsupported, "read", b.object.Path, fmt.Errorf(
			"%s does not find the file by its inode, as a router of a federation does not: mount each nameservice by its own NameNodes", b.o.id))
	}
	return origin.NewError(origin.ErrVersionChanged, "read", b.object.Path,
		fmt.Errorf("it changed from version %q while it was read, and is at %q", b.object.Version, now.Version))
}

// open opens a file for reading from an offset.
func (l *loan) open(path string, off int64) (f *library.FileReader, err error) {
	defer recovered(&err)
	if f, err = l.Open(path); err != nil {
		return nil, err
	}
	if _, err = f.Seek(off, io.SeekStart); err != nil {
		_ = f.Close() // nothing was opened yet
		return nil, err
	}
	return f, nil
}

// small is less than any usual checksum chunk (512 bytes and up). A read of so few bytes the library checks before it returns any.
const small = 511

// read fills p and returns how many bytes are good before an error. It reads in small pieces until it is known that the connection checks what it
// delivers, and for good where it does not.
func (l *loan) read(f *library.FileReader, p []byte) (n int, err error) {
	defer recovered(&err)
	for n < len(p) {
		want := len(p) - n
		checked := l.checked()
		if !checked {
			want = min(want, small)
		}
		k, err := f.Read(p[n : n+want])
		if checked && !l.checked() {
			return n, errors.New("a DataNode answered with another protection than the one before it")
		}
		n += k
		if err == io.EOF && n < len(p) || err == nil && k == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return n, err
		}
	}
	return n, nil
}

// checked reports whether there is a connection to a DataNode that checks what it delivers.
func (l *loan) checked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data != nil && l.data.checked()
}
