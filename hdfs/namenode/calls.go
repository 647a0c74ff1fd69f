package namenode

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Locate answers what a path names, with every block of a file, in one call, so that all of it is of one moment. Nil and no error: the path
// names nothing. path is absolute.
func (c *Client) Locate(ctx context.Context, path string) (*Status, error) {
	if !c.noLocated.Load() {
		b, err := c.call(ctx, "getLocatedFileInfo", appendBool(appendString(nil, 1, path), 2, false))
		if err == nil {
			return parseOne(b)
		}
		if !unknownMethod(err) {
			return nil, missing(err)
		}
		c.noLocated.Store(true) // a NameNode before Hadoop 3.2 (HDFS-13209)
	}
	return c.locateByListing(ctx, path)
}

// locateByListing asks a listing of the path itself. Of a file it has that file alone, without a name; of a directory it has the entries, and a
// second call tells the directory's own status.
func (c *Client) locateByListing(ctx context.Context, path string) (*Status, error) {
	page, err := c.List(ctx, path, "", true)
	if err != nil || page == nil {
		return nil, err
	}
	if len(page.Entries) == 1 && page.Entries[0].Name == "" {
		return page.Entries[0], nil
	}
	return c.Info(ctx, path)
}

// Info answers what a path names, without blocks. Nil and no error: nothing.
func (c *Client) Info(ctx context.Context, path string) (*Status, error) {
	b, err := c.call(ctx, "getFileInfo", appendString(nil, 1, path))
	if err != nil {
		return nil, missing(err)
	}
	return parseOne(b)
}

// List answers a page of a directory's entries whose names follow after in HDFS's order, with the blocks of files if located. How many a page
// has is the NameNode's affair (dfs.ls.limit). A path that names a file is listed as one entry without a name; nil and no error: the path names
// nothing.
func (c *Client) List(ctx context.Context, path, after string, located bool) (*Page, error) {
	req := appendBytes(appendString(nil, 1, path), 2, []byte(after))
	b, err := c.call(ctx, "getListing", appendBool(req, 3, located))
	if err != nil {
		return nil, missing(err)
	}
	return parseListing(b)
}

// missing turns the exceptions that mean "the path names nothing" into no error.
func missing(err error) error {
	if Is(err, "FileNotFoundException", "ParentNotDirectoryException") || Is(err, "AccessControlException") && strings.Contains(err.Error(), "is not a directory") {
		return nil
	}
	return err
}

// Rename moves src to dst in one step: with overwrite over whatever file dst names, without only if it names nothing; else the error is
// FileAlreadyExistsException.
func (c *Client) Rename(ctx context.Context, src, dst string, overwrite bool) error {
	_, err := c.call(ctx, "rename2", appendBool(appendString(appendString(nil, 1, src), 2, dst), 3, overwrite))
	return err
}

// Delete removes a file, or a directory that is empty, and reports whether there was one.
func (c *Client) Delete(ctx context.Context, path string) (bool, error) {
	b, err := c.call(ctx, "delete", appendBool(appendString(nil, 1, path), 2, false))
	if err != nil {
		return false, missing(err)
	}
	return parseBool(b)
}

// Mkdirs makes a directory and those above it, with the permissions given (0755 and the like). One that exists is no error.
func (c *Client) Mkdirs(ctx context.Context, path string, perm uint32) error {
	req := appendBytes(appendString(nil, 1, path), 2, appendUint(nil, 1, uint64(perm)))
	b, err := c.call(ctx, "mkdirs", appendBool(req, 3, true))
	if err != nil {
		return err
	}
	if ok, err := parseBool(b); err != nil || !ok {
		return errors.Join(err, fmt.Errorf("the NameNode did not make the directory %q", path))
	}
	return nil
}

func parseBool(b []byte) (ok bool, err error) {
	err = each(b, func(f field) error {
		if f.num == 1 {
			ok = f.value != 0
		}
		return nil
	})
	return ok, err
}

// haState is a HAServiceStateProto.
type haState uint64

const (
	stateActive   haState = 1
	stateStandby  haState = 2
	stateObserver haState = 3
)

func parseState(b []byte) (s haState, err error) {
	err = each(b, func(f field) error {
		if f.num == 1 {
			s = haState(f.value)
		}
		return nil
	})
	return s, err
}
