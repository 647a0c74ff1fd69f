// Package hdfs is the origin that reads HDFS. A file's version is its inode with the ordered list of its blocks, each with its generation stamp and
// bytes, which a client of our own (hdfs/namenode) asks the NameNode for; its bytes come from DataNodes by colinmarc/hdfs. That library cannot name
// the blocks it reads, so a read locates the file, reads a bounded buffer through the inode, and locates the inode again; it hands bytes out only if
// both agree. Complete blocks are parts, so that an append keeps what is cached of the earlier ones; a block under construction is a part without
// an id, read through and never cached. Start at New.
package hdfs

import (
	"context"
	"fmt"
	"strings"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
)

// Origin is a directory of an HDFS cluster. All methods may be called in parallel.
type Origin struct {
	opts    Options
	cluster cluster
	creds   *credentials // nil with SIMPLE authentication
	names   *namenode.Client
	pool    *pool
	id      string
}

// New makes an origin. It reads the Hadoop configuration and sends nothing: a NameNode that is not there shows at the first request.
func New(opts Options) (*Origin, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	c, err := resolve(opts)
	if err != nil {
		return nil, err
	}
	o := &Origin{opts: opts, cluster: c, id: fmt.Sprintf("hdfs:%q", strings.Join(c.nameNodes, ","))}
	nn := namenode.Options{Addresses: c.nameNodes, User: c.user, DialTimeout: opts.DialTimeout, CallTimeout: opts.CallTimeout, FailoverTimeout: opts.FailoverTimeout}
	if c.kerberos {
		if o.creds, err = newCredentials(opts); err != nil {
			return nil, err
		}
		nn.Kerberos = &namenode.Kerberos{Credentials: o.creds.client, Principal: c.service}
	}
	if o.names, err = namenode.New(nn); err != nil {
		return nil, fmt.Errorf("hdfs: %w", err)
	}
	o.pool = newPool(o)
	return o, nil
}

// Close ends all connections; reads under way end when their bodies are closed. Requests made later fail. It may be called more than once.
func (o *Origin) Close() error {
	o.pool.close()
	o.names.Close()
	if o.creds != nil {
		o.creds.close()
	}
	return nil
}

// ID names the NameNodes; the directory and the mount's alias are no part of it.
func (o *Origin) ID() string { return o.id }

// Root implements origin.Rooted: the directory that is mounted.
func (o *Origin) Root() string { return o.cluster.dir + "/" }

// Stat asks the NameNode for the file and its blocks, in one call.
func (o *Origin) Stat(ctx context.Context, path string) (origin.Object, error) {
	obj, _, err := o.locate(ctx, "stat", path)
	return obj, err
}

// locate is the file's present version, as an object and as the NameNode told it.
func (o *Origin) locate(ctx context.Context, op, path string) (origin.Object, *namenode.Status, error) {
	abs, err := o.absolute(op, path)
	if err != nil {
		return origin.Object{}, nil, err
	}
	s, err := o.names.Locate(ctx, abs)
	if err != nil {
		return origin.Object{}, nil, o.fail(ctx, op, path, err)
	}
	if err := readable(op, path, s); err != nil {
		return origin.Object{}, nil, err
	}
	obj, err := o.object(path, s)
	if err != nil {
		return origin.Object{}, nil, origin.NewError(origin.ErrUnavailable, op, path, fmt.Errorf("%s: %w", o.id, err))
	}
	obj.Attributes = map[string]string{}
	return obj, s, nil
}
