package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// newTransport is HTTP/1.1 with a pool of connections as large as the concurrency it is meant for; the default transport keeps two
// for each host and would connect anew for most requests. S3 speaks no HTTP/2. Bytes are passed as they are: no transparent gzip.
func newTransport(o Options) *http.Transport {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return &http.Transport{
		Protocols:             p,
		DialContext:           (&net.Dialer{Timeout: o.DialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   o.TLSTimeout,
		ResponseHeaderTimeout: o.HeaderTimeout,
		MaxIdleConns:          o.Connections,
		MaxIdleConnsPerHost:   o.Connections,
		IdleConnTimeout:       60 * time.Second,
		ReadBufferSize:        16 << 10, // bodies are read past it, straight into the reader's buffer
		DisableCompression:    true,
	}
}

// watched is a body that fails when it delivers nothing for too long while somebody reads it. Time in which nobody reads is the
// reader's own and does not count.
type watched struct {
	io.ReadCloser
	cancel context.CancelFunc // ends the request
	timer  *time.Timer
	limit  time.Duration
	fired  atomic.Bool
}

// watch wraps a body of a request whose context cancel ends.
func watch(b io.ReadCloser, limit time.Duration, cancel context.CancelFunc) *watched {
	w := &watched{ReadCloser: b, cancel: cancel, limit: limit}
	w.timer = time.AfterFunc(limit, func() {
		w.fired.Store(true)
		cancel()
	})
	w.timer.Stop()
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	if w.fired.Load() {
		return 0, w.stalled()
	}
	w.timer.Reset(w.limit)
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	if err != nil && err != io.EOF && w.fired.Load() {
		err = w.stalled()
	}
	return n, err
}

var errStalled = errors.New("the body stalled")

func (w *watched) stalled() error { return fmt.Errorf("%w: no byte came for %v", errStalled, w.limit) }

// Close ends the request. It may be called more than once.
func (w *watched) Close() error {
	w.timer.Stop()
	err := w.ReadCloser.Close()
	w.cancel()
	return err
}
