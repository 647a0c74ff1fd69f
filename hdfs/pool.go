package hdfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	library "github.com/colinmarc/hdfs/v2"
	"github.com/colinmarc/hdfs/v2/hadoopconf"
)

// clientAge bounds how long a library client is kept in use: it holds on to the key of encrypted data transfer, which the NameNode rolls after
// some hours.
const clientAge = time.Hour

// pool keeps clients of the HDFS library. One of them has one connection to the NameNode with one lock around it, knows nothing of contexts or
// deadlines, and is not safe for what reads do in parallel; so each is lent to one read or write at a time, on connections that have deadlines and
// end with the borrower's context.
type pool struct {
	o     *Origin
	slots chan struct{} // one for each client lent or being made

	mu     sync.Mutex
	idle   []*client // the last used is the last
	closed bool
}

func newPool(o *Origin) *pool { return &pool{o: o, slots: make(chan struct{}, o.opts.Clients)} }

// client is one library client, bound to the NameNode that was active when it was made.
type client struct {
	*library.Client
	address string
	born    time.Time
	expire  *time.Timer // closes it while it is idle

	bad atomic.Bool // its connection to the NameNode has failed

	mu   sync.Mutex
	loan *loan // nil while nobody has it: then only the library's own lease renewal uses it
	name net.Conn
}

// loan is one borrower's use of a client.
type loan struct {
	*client
	pool   *pool
	ctx    context.Context
	stop   func() bool // of the watch on ctx
	broken atomic.Bool // the client must not be used again
	writes atomic.Bool // for a write
	data   *dataConn   // the connection to a DataNode, the only one that the library has at a time; under client.mu
	// remaining is dataConn's. It is set before a file is opened.
	remaining func(block uint64, off int64) int64
}

// errDataNode is the cause when a DataNode does not answer at all.
var errDataNode = errors.New("a DataNode cannot be reached")

var errClosed = errors.New("the origin was closed")

// borrow lends a client until giveBack, or fails with the context. It may wait for one to come back.
func (p *pool) borrow(ctx context.Context) (*loan, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("all %d clients are in use: %w", cap(p.slots), ctx.Err())
	}
	l := &loan{pool: p, ctx: ctx}
	c, err := p.take()
	if err == nil && c == nil {
		c, err = p.open(l)
	}
	if err != nil {
		<-p.slots
		return nil, err
	}
	l.client = c
	c.mu.Lock()
	c.loan = l
	c.mu.Unlock()
	l.stop = context.AfterFunc(ctx, l.abort)
	return l, nil
}

// take is an idle client of the active NameNode, nil if there is none. Those of others are closed.
func (p *pool) take() (*client, error) {
	active := p.o.names.Active()
	var old []*client
	defer func() {
		for _, c := range old {
			c.discard()
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if c.expire.Stop() && !c.bad.Load() && c.address == active && time.Since(c.born) < clientAge {
			return c, nil
		}
		old = append(old, c)
	}
	return nil, nil
}

// open makes a client of the active NameNode.
func (p *pool) open(l *loan) (c *client, err error) {
	defer recovered(&err)
	o := p.o
	c = &client{address: o.names.Active(), born: time.Now(), loan: l}
	conf := hadoopconf.HadoopConf{}
	if o.cluster.protection != "" {
		conf["dfs.data.transfer.protection"] = o.cluster.protection
	}
	if !o.cluster.skipSASL {
		conf["dfs.encrypt.data.transfer"] = "true"
	}
	opts := library.ClientOptionsFromConf(conf) // the only way to set how DataNodes on privileged ports are met
	opts.DataTransferProtection = o.cluster.protection
	opts.Addresses, opts.User, opts.UseDatanodeHostname = []string{c.address}, o.cluster.user, o.cluster.byHostname
	opts.NamenodeDialFunc, opts.DatanodeDialFunc = c.dialName, c.dialData
	if o.creds != nil {
		if opts.KerberosClient, err = o.creds.client(); err != nil {
			return nil, err
		}
		opts.KerberosServicePrincipleName = principalName(o.cluster.service)
	}
	stop := context.AfterFunc(l.ctx, c.cut)
	defer stop()
	c.Client, err = library.NewClient(opts)
	if err != nil {
		c.cut()
		return nil, err
	}
	c.expire = time.AfterFunc(o.opts.ClientIdle, func() { p.drop(c) })
	c.expire.Stop()
	return c, nil
}

// drop closes a client that nobody has wanted for a while.
func (p *pool) drop(c *client) {
	p.mu.Lock()
	for i, have := range p.idle {
		if have == c {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			p.mu.Unlock()
			c.discard()
			return
		}
	}
	p.mu.Unlock()
}

// close closes the idle clients; those lent are closed when they come back.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.expire.Stop()
		c.discard()
	}
}

// giveBack ends a loan.
func (l *loan) giveBack() {
	whole := l.stop() && !l.broken.Load()
	l.endData()
	c, p := l.client, l.pool
	c.mu.Lock()
	c.loan = nil
	c.mu.Unlock()
	p.mu.Lock()
	if whole = whole && !p.closed; whole {
		p.idle = append(p.idle, c)
		c.expire.Reset(p.o.opts.ClientIdle)
	}
	p.mu.Unlock()
	if !whole {
		c.discard()
	}
	<-p.slots
}

// abort ends what the borrower's context no longer wants.
func (l *loan) abort() {
	l.broken.Store(true)
	l.endData()
	l.cut()
}

func (l *loan) endData() {
	l.mu.Lock()
	data := l.data
	l.mu.Unlock()
	if data != nil {
		_ = data.Close() // nothing more is expected of it
	}
}

// cut closes the connection to the NameNode, so that the library cannot block on it.
func (c *client) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.name != nil {
		_ = c.name.Close() // it is of no more use
	}
}

func (c *client) discard() {
	c.cut()
	_ = c.Close() // only ever fails because the connection is closed already
}

// dialName connects to the NameNode for the library.
func (c *client) dialName(_ context.Context, network, addr string) (net.Conn, error) {
	l := c.borrower()
	if l == nil {
		return nil, errors.New("nobody uses this client")
	}
	nc, err := l.dial(network, addr)
	if err != nil {
		return nil, err
	}
	limited := &timedConn{Conn: nc, limit: l.pool.o.opts.CallTimeout, failed: &c.bad}
	c.mu.Lock()
	c.name = limited
	c.mu.Unlock()
	return limited, nil
}

// dialData connects to a DataNode for the library.
func (c *client) dialData(_ context.Context, network, addr string) (net.Conn, error) {
	l := c.borrower()
	if l == nil {
		return nil, errors.New("nobody uses this client")
	}
	nc, err := l.dial(network, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDataNode, err)
	}
	d := newDataConn(&timedConn{Conn: nc, limit: l.pool.o.opts.StallTimeout})
	d.remaining = l.remaining
	if l.writes.Load() {
		d.writes()
	}
	l.endData() // the library forgets to close one that has failed
	c.mu.Lock()
	l.data = d
	c.mu.Unlock()
	if err := l.ctx.Err(); err != nil { // aborted before this connection was known
		_ = nc.Close()
		return nil, err
	}
	return d, nil
}

func (c *client) borrower() *loan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loan
}

func (l *loan) dial(network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: l.pool.o.opts.DialTimeout, KeepAlive: 30 * time.Second}
	return d.DialContext(l.ctx, network, addr)
}

// timedConn bounds every read and every write. The library's own deadlines, which it does not set, are ignored.
type timedConn struct {
	net.Conn
	limit  time.Duration
	failed *atomic.Bool // set at the first error; may be nil
}

func (t *timedConn) Read(p []byte) (int, error) {
	err := t.Conn.SetReadDeadline(time.Now().Add(t.limit))
	n := 0
	if err == nil {
		n, err = t.Conn.Read(p)
	}
	return n, t.note(err)
}

func (t *timedConn) Write(p []byte) (int, error) {
	err := t.Conn.SetWriteDeadline(time.Now().Add(t.limit))
	n := 0
	if err == nil {
		n, err = t.Conn.Write(p)
	}
	return n, t.note(err)
}

func (t *timedConn) note(err error) error {
	if err != nil && t.failed != nil {
		t.failed.Store(true)
	}
	return err
}

func (t *timedConn) SetDeadline(time.Time) error      { return nil }
func (t *timedConn) SetReadDeadline(time.Time) error  { return nil }
func (t *timedConn) SetWriteDeadline(time.Time) error { return nil }

// recovered turns a panic of the library, which trusts what DataNodes send, into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the HDFS library panicked: %v", r)
	}
}
