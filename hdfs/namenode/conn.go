package namenode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// conn is one connection to one NameNode. Calls share it: each has a call id, and the answers come in any order.
type conn struct {
	c     net.Conn
	limit int           // bytes of an answer
	write time.Duration // bound of one write
	seal  wrapper       // nil: packets travel as they are

	sending sync.Mutex // one packet at a time

	mu      sync.Mutex
	pending map[int32]chan<- response
	broken  error // why no more calls can be made
	done    chan struct{}
}

// wrapper is what a SASL layer does to packets.
type wrapper interface {
	wrap(packet []byte) ([]byte, error)
	unwrap(token []byte) ([]byte, error)
}

// open connects, authenticates and starts reading answers. It ends with the context, or after the dial timeout.
func (c *Client) open(ctx context.Context, addr string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout)
	defer cancel()
	nc, err := c.opts.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) }) // a connection that cannot take it fails on its own
	k := &conn{c: nc, limit: c.opts.MaxResponse, write: c.opts.CallTimeout, pending: map[int32]chan<- response{}, done: make(chan struct{})}
	err = c.handshake(ctx, k, addr)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = nc.Close() // the handshake's error is the one to tell
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		return nil, err
	}
	go k.receive()
	return k, nil
}

// handshake sends the connection's header, authenticates, and says who calls which protocol.
func (c *Client) handshake(ctx context.Context, k *conn, addr string) error {
	auth := byte(authNone)
	if c.opts.Kerberos != nil {
		auth = authSASL
	}
	head := []byte{'h', 'r', 'p', 'c', rpcVersion, 0, auth}
	user := c.opts.User
	if c.opts.Kerberos != nil {
		if _, err := k.c.Write(head); err != nil {
			return err
		}
		var err error
		if user, err = c.authenticate(ctx, k, addr); err != nil {
			return err
		}
		head = nil
	}
	who := appendBytes(nil, 2, appendString(nil, 1, user)) // userInfo.effectiveUser
	packet := frame(requestHeader(callContext, c.id, 0), appendString(who, 3, clientProtocol))
	packet, err := k.sealed(packet)
	if err != nil {
		return err
	}
	_, err = k.c.Write(append(head, packet...))
	return err
}

func (k *conn) sealed(packet []byte) ([]byte, error) {
	if k.seal == nil {
		return packet, nil
	}
	return k.seal.wrap(packet)
}

// receive hands answers to those who wait for them, until the connection breaks.
func (k *conn) receive() {
	defer close(k.done)
	for {
		packet, err := readPacket(k.c, k.limit)
		var r response
		if err == nil {
			r, err = k.parse(packet)
		}
		if err != nil {
			k.fail(err)
			return
		}
		if r.err != nil && (r.err.Fatal || r.call < 0) {
			k.fail(r.err)
			return
		}
		k.mu.Lock()
		ch := k.pending[r.call]
		delete(k.pending, r.call)
		k.mu.Unlock()
		if ch != nil { // nil: the caller has left
			ch <- r
		}
	}
}

// parse takes a packet apart, out of its SASL layer if there is one.
func (k *conn) parse(packet []byte) (response, error) {
	r, err := parseResponse(packet)
	if err != nil || k.seal == nil || r.call != callSASL || r.err != nil {
		return r, err
	}
	m, err := parseSASL(r.body)
	if err != nil {
		return response{}, err
	}
	if m.state != saslWrap {
		return response{}, fmt.Errorf("the NameNode sent a SASL message of state %d in the middle of calls", m.state)
	}
	inner, err := k.seal.unwrap(m.token)
	if err != nil {
		return response{}, fmt.Errorf("the NameNode's answer is not what it sealed: %w", err)
	}
	if len(inner) < 4 {
		return response{}, errNoHeader
	}
	return parseResponse(inner[4:])
}

// fail ends the connection: whoever waits gets err.
func (k *conn) fail(err error) {
	k.mu.Lock()
	if k.broken == nil {
		k.broken = err
	}
	pending := k.pending
	k.pending = nil
	k.mu.Unlock()
	_ = k.c.Close() // it is of no more use
	for _, ch := range pending {
		close(ch)
	}
}

// why is what broke the connection.
func (k *conn) why() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.broken
}

// errNotSent marks a failure before any byte of a request was written.
var errNotSent = errors.New("not sent")

// call sends a packet and waits for the answer to it, no longer than timeout. A NameNode that does not answer in that time loses the connection.
func (k *conn) call(ctx context.Context, id int32, packet []byte, timeout time.Duration) (response, error) {
	ch := make(chan response, 1)
	k.mu.Lock()
	if k.broken != nil {
		defer k.mu.Unlock()
		return response{}, errors.Join(errNotSent, k.broken)
	}
	k.pending[id] = ch
	k.mu.Unlock()
	if err := k.send(packet); err != nil {
		return response{}, k.unsent(err)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case r, ok := <-ch:
		if !ok {
			return response{}, k.why()
		}
		if r.err != nil {
			return response{}, r.err
		}
		return r, nil
	case <-ctx.Done():
		k.forget(id)
		return response{}, ctx.Err()
	case <-timer.C:
		err := fmt.Errorf("no answer came for %v", timeout)
		k.fail(err)
		return response{}, err
	}
}

// farewell bounds the wait for what a NameNode said before it closed the connection.
const farewell = time.Second

// unsent ends the connection after a write that failed. A NameNode that refuses a connection says why and closes it, so the reason may have come
// already: then that is the error.
func (k *conn) unsent(err error) error {
	_ = k.c.SetReadDeadline(time.Now().Add(farewell)) // a connection that cannot take it fails on its own
	<-k.done
	var said *RemoteError
	if errors.As(k.why(), &said) {
		return said
	}
	return err
}

func (k *conn) forget(id int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pending, id)
}

func (k *conn) send(packet []byte) error {
	k.sending.Lock()
	defer k.sending.Unlock()
	packet, err := k.sealed(packet) // sealed tokens are numbered in the order in which they are sent
	if err != nil {
		return err
	}
	if err := k.c.SetWriteDeadline(time.Now().Add(k.write)); err != nil {
		return err
	}
	_, err = k.c.Write(packet)
	return err
}

// close ends the connection and waits for its goroutine.
func (k *conn) close() {
	k.fail(ErrClosed)
	<-k.done
}
