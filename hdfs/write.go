package hdfs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	library "github.com/colinmarc/hdfs/v2"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
)

// temporary begins the names of files that are being written. Listings leave them out.
const temporary = ".alio-put-"

func isTemporary(name string) bool {
	return strings.HasPrefix(name, temporary) && len(name) == len(temporary)+32
}

// Put writes the whole file under a temporary name beside the path, then renames it over the path, or to the path if nothing may be there, so that it
// appears whole or not at all. The directories above it are made. A body that delivers nothing for a minute loses the DataNodes' patience, and the Put fails.
func (o *Origin) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	abs, err := o.absolute("put", path)
	if err != nil {
		return origin.Object{}, err
	}
	s, err := o.names.Info(ctx, abs)
	if err != nil {
		return origin.Object{}, o.fail(ctx, "put", path, err)
	}
	switch {
	case s != nil && s.Kind != namenode.File:
		return origin.Object{}, origin.NewError(origin.ErrInvalid, "put", path, errors.New("HDFS has a directory or a link of that name"))
	case s != nil && opts.IfAbsent:
		return origin.Object{}, origin.NewError(origin.ErrVersionChanged, "put", path, errExists) // spares the writing; the rename decides
	}
	dir, _ := split(abs)
	if dir != "/" {
		if err := o.names.Mkdirs(ctx, strings.TrimSuffix(dir, "/"), 0o755); err != nil {
			return origin.Object{}, o.fail(ctx, "put", path, err)
		}
	}
	var unique [16]byte
	_, _ = rand.Read(unique[:]) // never fails
	tmp := dir + temporary + hex.EncodeToString(unique[:])
	if s, err = o.write(ctx, tmp, body, size); err == nil {
		err = o.publish(ctx, tmp, abs, s.FileID, opts)
	}
	if err != nil {
		o.remove(ctx, tmp)
		var e *origin.Error
		if errors.As(err, &e) {
			e.Path = path // not the temporary one
		}
		return origin.Object{}, o.fail(ctx, "put", path, err)
	}
	obj, err := o.object(path, s)
	if err != nil {
		return obj, origin.NewError(origin.ErrUnavailable, "put", path, err)
	}
	obj.Attributes = map[string]string{}
	return obj, nil
}

// write makes the file tmp and answers what the NameNode knows of it.
func (o *Origin) write(ctx context.Context, tmp string, body io.Reader, size int64) (*namenode.Status, error) {
	l, err := o.pool.borrow(ctx)
	if err != nil {
		return nil, err
	}
	n, err := l.write(tmp, body, o.opts.FailoverTimeout)
	if err != nil {
		l.broken.Store(true)
	}
	l.giveBack()
	if errors.Is(err, errDataNode) { // the library writes where the NameNode says, or not at all
		err = fmt.Errorf("%w (the NameNode still takes it for alive, as it does for ten minutes or so: see hdfs dfsadmin -report, and try again)", err)
	}
	if err != nil {
		return nil, err
	}
	if size >= 0 && n != size {
		return nil, origin.NewError(origin.ErrInvalid, "put", tmp, fmt.Errorf("the body has %d bytes; %d were announced", n, size))
	}
	s, err := o.names.Locate(ctx, tmp)
	switch {
	case err != nil:
		return nil, err
	case s == nil || s.Length != n || s.UnderConstruction:
		return nil, fmt.Errorf("the NameNode does not have the %d bytes that were written: %+v", n, s)
	}
	return s, nil
}

var errExists = errors.New("a file of that name is there already, and it was to be written only if none is")

// publish renames tmp to the path. Where the answer got lost, the path's inode tells whether it was done.
func (o *Origin) publish(ctx context.Context, tmp, abs string, inode uint64, opts origin.PutOptions) error {
	err := o.names.Rename(ctx, tmp, abs, !opts.IfAbsent)
	if err == nil {
		return nil
	}
	if now, e := o.names.Info(ctx, abs); e == nil && now != nil && now.FileID == inode {
		return nil
	}
	if opts.IfAbsent && namenode.Is(err, "FileAlreadyExistsException") {
		return origin.NewError(origin.ErrVersionChanged, "put", tmp, errExists)
	}
	return err
}

// remove clears away what a failed Put has left, whether or not its context has ended.
func (o *Origin) remove(ctx context.Context, tmp string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.opts.CallTimeout)
	defer cancel()
	_, _ = o.names.Delete(ctx, tmp) // the Put's own error is the one to tell; the name shows what is left
}

// write makes a file of body. patience bounds how long it waits for DataNodes to report what they have.
func (l *loan) write(path string, body io.Reader, patience time.Duration) (n int64, err error) {
	defer recovered(&err)
	l.writes.Store(true) // and the loan ends with the write
	f, err := l.Create(path)
	if err != nil {
		return 0, err
	}
	if n, err = l.copy(f, path, body, patience); err != nil {
		l.endData()
		_ = f.Close() // ends the library's goroutines; that the file is not whole is known
		return n, err
	}
	return n, l.again(patience, f.Close, library.IsErrReplicating)
}

// copy writes the whole body.
func (l *loan) copy(f *library.FileWriter, path string, body io.Reader, patience time.Duration) (n int64, err error) {
	buf := make([]byte, 1<<20)
	for {
		k, readErr := 0, error(nil)
		for k < len(buf) && readErr == nil { // not ReadFull, which would call a body that breaks off a short one
			var m int
			m, readErr = body.Read(buf[k:])
			k += m
		}
		if err := l.writeAll(f, buf[:k], patience); err != nil {
			return n, err
		}
		n += int64(k)
		switch {
		case readErr == io.EOF:
			return n, nil
		case readErr != nil:
			return n, origin.NewError(origin.ErrInvalid, "put", path, fmt.Errorf("the body broke off: %w", readErr))
		case l.ctx.Err() != nil:
			return n, l.ctx.Err()
		case l.lostData():
			return n, errors.New("the connection to the DataNode is lost")
		}
	}
}

// lostData reports a DataNode that takes no more.
func (l *loan) lostData() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data != nil && l.data.lost.Load()
}

// writeAll writes p, waiting where the NameNode wants the block before to be reported first.
func (l *loan) writeAll(f *library.FileWriter, p []byte, patience time.Duration) error {
	return l.again(patience, func() error {
		if len(p) == 0 {
			return nil
		}
		k, err := f.Write(p)
		p = p[k:]
		return err
	}, func(err error) bool { return namenode.Is(remote(err), "NotReplicatedYetException") })
}

// again repeats f while it fails in a way that passes, for as long as patience.
func (l *loan) again(patience time.Duration, f func() error, passes func(error) bool) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := f()
		if err == nil || !passes(err) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-deadline.C:
			t.Stop()
			return err
		case <-l.ctx.Done():
			t.Stop()
			return l.ctx.Err()
		}
	}
}

// Delete removes a file. A path that names nothing, or a directory, is no error: no object has that name.
func (o *Origin) Delete(ctx context.Context, path string) error {
	abs, err := o.absolute("delete", path)
	if err != nil {
		return err
	}
	s, err := o.names.Info(ctx, abs)
	if err == nil && s != nil && s.Kind == namenode.File {
		_, err = o.names.Delete(ctx, abs)
	}
	if err != nil {
		return o.fail(ctx, "delete", path, err)
	}
	return nil
}
