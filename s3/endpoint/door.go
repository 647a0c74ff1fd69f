package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// DoorOptions configure a Door. Only Handler is required.
type DoorOptions struct {
	Handler *Handler
	// TLSConfig, if set, makes Serve speak TLS, HTTP/2 included. All its connections are net/http's.
	TLSConfig *tls.Config
	// BaseContext makes the context of a listener's requests; nil: context.Background. Once it ends, reads from the origin do too.
	BaseContext func(net.Listener) context.Context
	// ReadHeaderTimeout bounds the time from a request's first bytes to the last of its head. 30 s by default.
	ReadHeaderTimeout time.Duration
	// IdleTimeout bounds the wait for the next request; on the lean way up to a sixteenth less. 5 min by default: longer than clients keep
	// idle connections (the AWS SDKs: 60 s, Go: 90 s), so that it is they who close. A request sent on a connection that is being closed fails.
	IdleTimeout time.Duration
	// WriteTimeout bounds, on the lean way, how long a client may take nothing of an answer; it may be up to twice as long. 1 min by
	// default.
	WriteTimeout time.Duration
	// MaxHeaderBytes bounds a request's head. 256 KiB by default. (On the lean way 8 KiB; longer ones are net/http's.)
	MaxHeaderBytes int
	// ErrorLog takes what net/http has to say; nil: the standard logger.
	ErrorLog *log.Logger
	// General sends every request through net/http: the other side of a comparison.
	General bool
}

// Validate reports every fault of the options at once, or nil.
func (o *DoorOptions) Validate() error {
	var faults []error
	if o.Handler == nil {
		faults = append(faults, errors.New("endpoint: a door needs a Handler"))
	}
	for name, d := range map[string]time.Duration{"ReadHeaderTimeout": o.ReadHeaderTimeout, "IdleTimeout": o.IdleTimeout, "WriteTimeout": o.WriteTimeout} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("endpoint: %s %v is negative", name, d))
		}
	}
	if o.MaxHeaderBytes < 0 {
		faults = append(faults, fmt.Errorf("endpoint: MaxHeaderBytes %d is negative", o.MaxHeaderBytes))
	}
	return errors.Join(faults...)
}

func (o *DoorOptions) defaults() {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.ReadHeaderTimeout, 30*time.Second)
	set(&o.IdleTimeout, 5*time.Minute)
	set(&o.WriteTimeout, time.Minute)
	if o.MaxHeaderBytes == 0 {
		o.MaxHeaderBytes = 256 << 10
	}
	if o.BaseContext == nil {
		o.BaseContext = background
	}
}

// Door is an HTTP server for a Handler with two ways through it. Plain GETs that the backend answers at once (Hits) are answered on the lean
// way: read, checked and written without net/http, and without an allocation. All else is net/http's and the Handler's, on the same
// connections, and clients cannot tell the ways apart.
//
// The lean way is for plain TCP and Unix sockets. TLS connections, and those of a backend that has no Hits, go straight to net/http.
//
// A connection costs what net/http's do (two buffers of 4 KiB, a goroutine) and some 400 bytes more. While a request is on it, it borrows
// another 14 KiB from a pool.
//
// All methods may be called in parallel.
type Door struct {
	o       DoorOptions
	srv     *http.Server
	metrics *metrics
	scratch scratches
	closing atomic.Bool

	mu    sync.Mutex
	conns map[*leanConn]struct{}
	gone  []chan struct{} // closed when there are no connections
}

// NewDoor makes a Door, or says everything that is wrong with the options. It starts nothing.
func NewDoor(o DoorOptions) (*Door, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.defaults()
	d := &Door{o: o, metrics: o.Handler.metrics, conns: make(map[*leanConn]struct{})}
	d.srv = &http.Server{
		Handler:           o.Handler,
		TLSConfig:         o.TLSConfig,
		BaseContext:       d.baseContext,
		ReadHeaderTimeout: o.ReadHeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    o.MaxHeaderBytes,
		ErrorLog:          o.ErrorLog,
		ConnState:         connState,
	}
	return d, nil
}

func (d *Door) baseContext(l net.Listener) context.Context {
	if own, ok := l.(*leanListener); ok {
		return own.ctx
	}
	return d.o.BaseContext(l)
}

// Serve accepts connections until Shutdown or Close, and then returns http.ErrServerClosed; any other error is the listener's. It closes the
// listener.
func (d *Door) Serve(l net.Listener) error {
	switch {
	case d.o.TLSConfig != nil:
		return d.srv.ServeTLS(l, "", "")
	case d.o.Handler.hits == nil || d.o.General:
		return d.srv.Serve(l)
	}
	return d.srv.Serve(&leanListener{Listener: l, door: d, ctx: d.o.BaseContext(l)})
}

// Shutdown stops accepting, closes idle connections, and returns once the answers under way have ended, or with the context's error when
// that ends first; then Close.
func (d *Door) Shutdown(ctx context.Context) error {
	d.closing.Store(true)
	for _, c := range d.open() {
		c.closeIdle()
	}
	if err := d.srv.Shutdown(ctx); err != nil {
		return err
	}
	gone := make(chan struct{})
	d.mu.Lock()
	d.gone = append(d.gone, gone)
	d.tell()
	d.mu.Unlock()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes listeners and connections at once. It may be called again, and after Shutdown.
func (d *Door) Close() error {
	d.closing.Store(true)
	err := d.srv.Close()
	for _, c := range d.open() {
		_ = c.cut() // it is cut off, whatever the socket says to it
	}
	return err
}

func (d *Door) open() []*leanConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	conns := make([]*leanConn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	return conns
}

// forget drops a connection that was closed.
func (d *Door) forget(c *leanConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
	d.tell()
}

// tell wakes those who wait for the last connection. The caller holds mu.
func (d *Door) tell() {
	if len(d.conns) > 0 {
		return
	}
	for _, gone := range d.gone {
		close(gone)
	}
	d.gone = nil
}

// leanListener wraps the connections of a listener.
type leanListener struct {
	net.Listener
	door *Door
	ctx  context.Context
}

// Accept wraps what the lean way can read from; anything else is net/http's alone.
func (l *leanListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return conn, nil
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return conn, nil
	}
	c := &leanConn{Conn: conn, door: l.door, ctx: l.ctx, raw: raw, fresh: true}
	c.recv, c.send = c.receive, c.transmit
	l.door.mu.Lock()
	l.door.conns[c] = struct{}{}
	l.door.mu.Unlock()
	return c, nil
}

// connState is net/http's hook. It runs in the goroutine that reads.
func connState(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*leanConn)
	if !ok {
		return
	}
	switch {
	case state == http.StateIdle && c.phase == handing && c.left == 0:
		c.phase = atBoundary
	case state == http.StateIdle:
		c.phase = kept // it never took all of the request: its own bytes may be left in its buffer
	case state == http.StateHijacked:
		c.phase = kept
		c.door.forget(c)
	}
}
