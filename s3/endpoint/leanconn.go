package endpoint

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alio-lake/alio/internal/nowait"
)

// A connection's bytes are read here, by whoever net/http makes read. That is done in three places of net/http's server.go: at a boundary
// between requests (the first Read, and the Peek that follows StateIdle), while it reads a head or a body, and while a handler
// runs (backgroundRead, of one byte, to see whether the client hangs up). At a boundary the lean way goes first.
//
// net/http never gets a byte beyond the request that it serves, so nothing of the next one is in its buffers when the boundary comes again. Of
// what arrives while a handler runs it is only told that it need not look any longer: backgroundRead takes a Read of no byte and
// no error as its end. So clients may send the next request as early as they like.

// phase is where a connection is between its own way and net/http's.
type phase int

const (
	atBoundary phase = iota // the next byte is a request's first
	handing                 // net/http reads a request whose length is known; then a handler runs
	kept                    // net/http keeps the connection for good
)

// leanBuffer bounds a request's head on the lean way: eight times what the SDKs send. Longer ones make net/http keep the connection.
const leanBuffer = 8 << 10

// scratch is what a connection needs while a request is on it. Idle connections hold none.
type scratch struct {
	buf  [leanBuffer]byte
	r, w int // buf[r:w] is read and not yet used
	req  leanRequest
	memo keyMemo
	head []byte    // of the answer
	vec  [2][]byte // what is to be sent: a head, a page
	iov  [2]unix.Iovec
	date httpDateMemo

	modified httpDateMemo

	answer leanAnswer
}

// maxScratch bounds how many lie idle: as many as there are requests at a time on a busy day, and 2 MiB.
const maxScratch = 128

// scratches keeps what no connection uses. It is no sync.Pool, so that a signing key remembered outlives the garbage collector's rounds.
type scratches struct {
	mu   sync.Mutex
	idle []*scratch
}

func (p *scratches) take() *scratch {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return &scratch{head: make([]byte, 0, 1024)}
	}
	s := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return s
}

func (p *scratches) put(s *scratch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < maxScratch {
		p.idle = append(p.idle, s)
	}
}

// leanConn is a connection as net/http sees it.
type leanConn struct {
	net.Conn
	door *Door
	ctx  context.Context
	raw  syscall.RawConn
	recv func(fd uintptr) bool // c.receive and c.transmit, bound once
	send func(fd uintptr) bool

	// For whoever is in Read; net/http has one reader at a time and orders them.
	s          *scratch // nil while nothing is buffered
	failed     error    // what receive or transmit met
	phase      phase
	left       int64     // bytes of the present request that net/http has not got yet
	fresh      bool      // no request came yet; net/http's deadline for the first one runs
	idleUntil  time.Time // deadlines in force; zero: unknown, or none
	writeUntil time.Time

	mu      sync.Mutex
	waiting bool // in the lean way
	busy    bool // and a request is being answered
	doomed  bool // to be closed once it is
	closed  bool
}

// Read gives net/http the requests that the lean way does not answer.
func (c *leanConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.phase == atBoundary {
		if err := c.lean(); err != nil {
			c.drop()
			return 0, err
		}
	}
	switch {
	case c.phase == kept || c.left > 0:
		return c.hand(p)
	case len(p) > 1: // net/http believes that the request goes on
		c.phase = kept
		return c.hand(p)
	case c.s != nil: // the next request is there already
		return 0, nil
	}
	return 0, c.fill()
}

// hand gives net/http what it is to read.
func (c *leanConn) hand(p []byte) (n int, err error) {
	if c.phase != kept && int64(len(p)) > c.left {
		p = p[:c.left]
	}
	if s := c.s; s != nil {
		n = copy(p, s.buf[s.r:s.w])
		c.consume(n)
	} else {
		n, err = c.Conn.Read(p)
	}
	c.left -= int64(n)
	return n, err
}

// consume drops bytes from the buffer, and the buffer once it is empty.
func (c *leanConn) consume(n int) {
	if c.s.r += n; c.s.r == c.s.w {
		c.drop()
	}
}

func (c *leanConn) drop() {
	if c.s != nil {
		c.s.r, c.s.w = 0, 0
		c.door.scratch.put(c.s)
		c.s = nil
	}
}

// lean answers requests until one comes that is net/http's, which it leaves in the buffer. An error ends the connection.
func (c *leanConn) lean() error {
	if !c.enter() {
		return io.EOF
	}
	defer c.leave()
	c.idleUntil = time.Time{}
	for now := time.Now(); ; {
		f, err := c.next(now)
		if err != nil {
			return err
		}
		if f == unframed {
			c.phase = kept
			break
		}
		q := &c.s.req
		answered := false
		if q.plain {
			if answered, now, err = c.serve(q); err != nil {
				return err
			}
		} else {
			c.door.metrics.lean[leanNotPlain].Inc()
		}
		if !answered {
			c.phase, c.left = handing, int64(q.head)+q.body
			break
		}
		c.consume(q.head)
	}
	return c.release()
}

// release sets the deadlines that net/http expects.
func (c *leanConn) release() error {
	if !c.writeUntil.IsZero() {
		c.writeUntil = time.Time{}
		if err := c.SetWriteDeadline(c.writeUntil); err != nil {
			return io.EOF
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(c.door.o.ReadHeaderTimeout)); err != nil {
		return io.EOF
	}
	return nil
}

// next waits for a request's whole head. now is a recent time.
func (c *leanConn) next(now time.Time) (framing, error) {
	for started := false; ; {
		if s := c.s; s != nil {
			if f := s.req.parse(s.buf[s.r:s.w], c.door.o.Handler.domain); f != incomplete {
				c.fresh = false
				return f, nil
			}
			s.w = copy(s.buf[:], s.buf[s.r:s.w])
			s.r = 0
			if s.w == len(s.buf) {
				return unframed, nil
			}
		}
		if err := c.expect(&started, now); err != nil {
			return 0, io.EOF
		}
		switch err := c.fill(); {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err // net/http then closes without a word, as it would have
		case c.s != nil && errors.Is(err, io.EOF):
			return unframed, nil // a torn head, to which net/http has an answer
		default:
			return 0, io.EOF
		}
	}
}

// expect sets the deadline for what is waited for: a request's first byte, or, once it has started, the rest of its head. The former is only
// moved when a sixteenth of it has gone by, so that it costs a busy connection nothing.
func (c *leanConn) expect(started *bool, now time.Time) error {
	idle := c.door.o.IdleTimeout
	switch {
	case c.s != nil && !*started:
		*started = true
		c.idleUntil = time.Time{}
		return c.SetReadDeadline(time.Now().Add(c.door.o.ReadHeaderTimeout))
	case c.s == nil && !c.fresh && c.idleUntil.Sub(now) < idle-idle/16:
		c.idleUntil = now.Add(idle)
		return c.SetReadDeadline(c.idleUntil)
	}
	return nil
}

// fill reads from the socket into the buffer, at least one byte.
func (c *leanConn) fill() error {
	c.failed = nil
	if err := c.raw.Read(c.recv); err != nil {
		return err
	}
	return c.failed
}

// receive is fill's read. It takes a buffer only once there is something to read into it.
func (c *leanConn) receive(fd uintptr) bool {
	if c.s == nil {
		c.s = c.door.scratch.take()
	}
	s := c.s
	n, err := nowait.Read(int(fd), s.buf[s.w:])
	for err == unix.EINTR {
		n, err = nowait.Read(int(fd), s.buf[s.w:])
	}
	switch {
	case err == nil && n > 0:
		s.w += n
	case err == unix.EAGAIN:
		if s.w == 0 {
			c.drop()
		}
		return false
	case err == nil:
		c.failed = io.EOF
	default:
		c.failed = os.NewSyscallError("read", err)
	}
	if s.w == 0 {
		c.drop()
	}
	return true
}

// transmit is write's sending of what is left of s.vec.
func (c *leanConn) transmit(fd uintptr) bool {
	s := c.s
	for {
		k := 0
		for _, b := range s.vec {
			if len(b) > 0 {
				s.iov[k].Base = &b[0]
				s.iov[k].SetLen(len(b))
				k++
			}
		}
		if k == 0 {
			return true
		}
		n, err := nowait.Writev(int(fd), s.iov[:k])
		s.iov = [2]unix.Iovec{}
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false
		case err != nil:
			c.failed = os.NewSyscallError("writev", err)
			return true
		}
		for i := range s.vec {
			sent := min(n, len(s.vec[i]))
			s.vec[i], n = s.vec[i][sent:], n-sent
		}
	}
}

// enter begins the lean way, unless the door closes.
func (c *leanConn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = !c.closed && !c.door.closing.Load()
	return c.waiting
}

func (c *leanConn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
}

// begin marks the connection as answering, unless it was closed meanwhile or the door closes.
func (c *leanConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = !c.closed && !c.door.closing.Load()
	return c.busy
}

// end undoes begin, and closes the connection if that was asked for meanwhile, or if the door closes and found it busy.
func (c *leanConn) end() (open bool) {
	c.mu.Lock()
	c.busy = false
	open = !c.doomed && !c.closed && !c.door.closing.Load()
	c.mu.Unlock()
	if !open {
		c.cut()
	}
	return open
}

// Close closes the connection, but an answer that the lean way has begun is finished first: net/http, when it shuts down, takes the
// connection for idle.
func (c *leanConn) Close() error {
	c.mu.Lock()
	if c.busy && !c.closed {
		c.doomed = true
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	return c.cut()
}

// closeIdle closes a connection that waits in the lean way for its next request.
func (c *leanConn) closeIdle() {
	c.mu.Lock()
	idle := c.waiting && !c.busy
	c.mu.Unlock()
	if idle {
		_ = c.cut() // what fails here is closed already
	}
}

// cut closes the connection at once.
func (c *leanConn) cut() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	c.door.forget(c)
	return c.Conn.Close()
}

// CloseWrite is what net/http asks a TCP connection for before it drops what a client still sends.
func (c *leanConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
