// Package namenode is a small client of HDFS NameNodes: Hadoop's RPC, version 9, for the few calls that the origin needs and the HDFS library does
// not offer, above all a file's blocks with their generation stamps in the same answer as its inode and length. It follows the active NameNode of
// a highly available pair, authenticates by SIMPLE or Kerberos, and gives every call a deadline. It reads no data: that is the library's. Start at
// New.
package namenode

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	krb "github.com/jcmturner/gokrb5/v8/client"
)

// Options say which NameNodes are asked, and as whom.
type Options struct {
	// Addresses are the NameNodes of one nameservice, each host:port of its RPC.
	Addresses []string
	// User is who calls, by SIMPLE authentication. Unused with Kerberos.
	User string
	// Kerberos, if set, authenticates calls.
	Kerberos *Kerberos
	// DialTimeout bounds connecting to a NameNode, authentication included; default 5 s.
	DialTimeout time.Duration
	// CallTimeout bounds how long one NameNode may take over one call; default 20 s.
	CallTimeout time.Duration
	// FailoverTimeout bounds a call as a whole while NameNodes change roles; default 45 s. Of a single NameNode it bounds how long it may ask to
	// be asked again.
	FailoverTimeout time.Duration
	// MaxResponse is the most bytes that an answer may have; default 128 MiB, about 300,000 blocks.
	MaxResponse int
	// Dial connects; default net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Kerberos says how to authenticate to NameNodes.
type Kerberos struct {
	// Credentials returns a client that has, or can get, a ticket-granting ticket. It is asked at every connection, so that renewed credentials
	// count.
	Credentials func() (*krb.Client, error)
	// Principal is the NameNodes' own (dfs.namenode.kerberos.principal); _HOST in it stands for a NameNode's host name.
	Principal string
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.DialTimeout, 5 * time.Second}, {&o.CallTimeout, 20 * time.Second}, {&o.FailoverTimeout, 45 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	if o.MaxResponse <= 0 {
		o.MaxResponse = 128 << 20
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	return o
}

// Client asks the active NameNode of a nameservice. All methods may be called in parallel; they share one connection to each NameNode.
type Client struct {
	opts      Options
	id        []byte // of the client, in every request: with the call id it lets a NameNode know a repeated call
	calls     atomic.Int32
	active    atomic.Int32 // index of the NameNode that answered last
	noLocated atomic.Bool  // getLocatedFileInfo is unknown
	nodes     []*node
	closed    atomic.Bool
}

// node is one NameNode.
type node struct {
	addr string
	turn chan struct{} // held while connecting
	mu   sync.Mutex
	conn *conn
}

// New makes a client. It connects at the first call.
func New(opts Options) (*Client, error) {
	if len(opts.Addresses) == 0 {
		return nil, errors.New("no NameNode is named")
	}
	c := &Client{opts: opts.withDefaults(), id: make([]byte, 16)}
	_, _ = rand.Read(c.id) // never fails
	for _, a := range opts.Addresses {
		c.nodes = append(c.nodes, &node{addr: a, turn: make(chan struct{}, 1)})
	}
	return c, nil
}

// Close ends the connections. Calls made later fail. It may be called more than once.
func (c *Client) Close() {
	c.closed.Store(true)
	for _, n := range c.nodes {
		n.turn <- struct{}{} // whoever is connecting is soon done, and sees closed
		n.mu.Lock()
		k := n.conn
		n.conn = nil
		n.mu.Unlock()
		<-n.turn
		if k != nil {
			k.close()
		}
	}
}

// Active is the address of the NameNode that answered last, or the first of them.
func (c *Client) Active() string { return c.nodes[c.active.Load()].addr }

// Addresses are all NameNodes.
func (c *Client) Addresses() []string { return slices.Clone(c.opts.Addresses) }

// call asks the active NameNode. A NameNode that cannot be reached or is not active makes the next one be asked, with the same call id, so that
// one that has already done the work answers what it answered (Hadoop's retry cache); it goes round until one answers or the time is up.
func (c *Client) call(ctx context.Context, method string, body []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil { // an answer may come so fast that nobody sees that the context has ended
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, c.opts.FailoverTimeout)
	defer cancel()
	id := c.calls.Add(1) & 0x7fffffff
	var last error
	for try := 0; ; try++ {
		at := c.active.Load()
		b, err := c.nodes[at].call(limited, c, id, try, method, body)
		switch {
		case err == nil:
			return b, nil
		case ctx.Err() != nil:
			return nil, errors.Join(ctx.Err(), last)
		case c.closed.Load():
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, ErrClosed)
		case limited.Err() != nil:
			return nil, c.unreachable(method, last, fmt.Errorf("%s: gave up after %v", c.nodes[at].addr, c.opts.FailoverTimeout))
		}
		last = fmt.Errorf("%s: %w", c.nodes[at].addr, err)
		var remote *RemoteError
		answered := errors.As(err, &remote)
		switch {
		case later(err):
		case elsewhere(err) || !answered && !errors.Is(err, ErrCredentials):
			if len(c.nodes) == 1 && try > 0 {
				return nil, c.unreachable(method, last) // the connection at hand may have been an old one; this one was new
			}
			c.active.CompareAndSwap(at, (at+1)%int32(len(c.nodes)))
		case errors.Is(err, ErrCredentials):
			return nil, last
		case refused(err):
			return nil, fmt.Errorf("%w: %w", ErrCredentials, last)
		default:
			return nil, err
		}
		if err := c.pause(limited, try, later(err)); err != nil && ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), last)
		}
	}
}

// unreachable is the error of a call that nobody answered.
func (c *Client) unreachable(method string, causes ...error) error {
	return fmt.Errorf("%w (%s of %d): %w", ErrUnreachable, method, len(c.nodes), errors.Join(causes...))
}

// pause waits before the next try: not at all before every NameNode has been asked once, then longer each round, up to 2 s.
func (c *Client) pause(ctx context.Context, try int, asked bool) error {
	round := (try + 1) / len(c.nodes)
	if round == 0 && !asked || len(c.nodes) == 1 && !asked {
		return nil
	}
	t := time.NewTimer(min(100*time.Millisecond<<min(round, 5), 2*time.Second))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// call asks this NameNode.
func (n *node) call(ctx context.Context, c *Client, id int32, try int, method string, body []byte) ([]byte, error) {
	k, err := n.connection(ctx, c)
	if err != nil {
		return nil, err
	}
	r, err := k.call(ctx, id, request(id, c.id, try, method, body), c.opts.CallTimeout)
	if err != nil {
		return nil, err
	}
	return r.body, nil
}

// connection is the one at hand, or a new one to a NameNode that says it is active.
func (n *node) connection(ctx context.Context, c *Client) (*conn, error) {
	if k := n.usable(); k != nil {
		return k, nil
	}
	select {
	case n.turn <- struct{}{}:
		defer func() { <-n.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if k := n.usable(); k != nil {
		return k, nil
	}
	if c.closed.Load() {
		return nil, ErrClosed
	}
	k, err := c.open(ctx, n.addr)
	if err != nil {
		return nil, err
	}
	if err := c.checkActive(ctx, k); err != nil {
		k.close()
		return nil, err
	}
	n.mu.Lock()
	n.conn = k
	n.mu.Unlock()
	return k, nil
}

func (n *node) usable() *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil && n.conn.why() == nil {
		return n.conn
	}
	return nil
}

// checkActive refuses a NameNode that is not active. An observer would also refuse the calls themselves, since they carry no state id; this says
// so earlier, and holds for observers of versions that may not. A NameNode that does not know the question is older than observers are, and one that
// refuses it (ServiceFailedException: "HA for namenode is not enabled") is alone.
func (c *Client) checkActive(ctx context.Context, k *conn) error {
	id := c.calls.Add(1) & 0x7fffffff
	r, err := k.call(ctx, id, request(id, c.id, 0, "getHAServiceState", nil), c.opts.CallTimeout)
	if unknownMethod(err) || Is(err, "ServiceFailedException") {
		return nil
	}
	if err != nil {
		return err
	}
	switch s, err := parseState(r.body); {
	case err != nil:
		return err
	case s == stateObserver:
		return &RemoteError{Class: "StandbyException", Message: "the NameNode is an observer, whose answers may be old"}
	case s == stateStandby:
		return &RemoteError{Class: "StandbyException", Message: "the NameNode is standby"}
	}
	return nil
}
