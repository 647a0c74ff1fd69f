package gcs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/alio-lake/alio/internal/outbound"
)

// exchange is what went over the wire for one call of the client. The client keeps neither an answer's headers nor, of some failures,
// the reason.
type exchange struct {
	single bool // a second request is refused

	mu     sync.Mutex
	sent   bool
	status int // of the last answer; 0 without one
	header http.Header
	length int64  // of the body that the answer announces
	detail []byte // the body of a failure
	broke  error  // why there is no answer, or not all of one
}

type exchangeKey struct{}

// exchanging makes a context by which the tap finds the exchange.
func exchanging(ctx context.Context, single bool) (context.Context, *exchange) {
	x := &exchange{single: single}
	return context.WithValue(ctx, exchangeKey{}, x), x
}

// fault is why there was no answer, or not all of one; nil if nothing broke.
func (x *exchange) fault() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.broke
}

// errResumed refuses the client's second request for one body. The client opens a broken body again by itself, at the byte where it broke, and
// does not look at what version the rest is of.
var errResumed = errors.New("the body broke")

// tap is the round tripper that keeps what an exchange asks for, and ends a request whose answer's body stalls.
type tap struct {
	base  http.RoundTripper
	stall time.Duration
}

// maxDetail bounds what is kept of the body of a failure.
const maxDetail = 16 << 10

func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return t.base.RoundTrip(r)
	}
	x.mu.Lock()
	again := x.single && x.sent
	x.sent = true
	x.mu.Unlock()
	if again {
		return nil, errResumed
	}
	ctx, cancel := context.WithCancel(r.Context())
	resp, err := t.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
	} else {
		resp.Body = outbound.Watch(resp.Body, t.stall, cancel)
	}
	var detail []byte
	if err == nil && resp.StatusCode >= 300 {
		detail, _ = io.ReadAll(io.LimitReader(resp.Body, maxDetail)) // what came of it will do
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(detail))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		x.broke = err
		return nil, err
	}
	x.status, x.header, x.length, x.detail = resp.StatusCode, resp.Header, resp.ContentLength, detail
	resp.Body = &tapped{resp.Body, x}
	return resp, nil
}

// tapped keeps what a body broke with.
type tapped struct {
	io.ReadCloser
	x *exchange
}

func (b *tapped) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.x.mu.Lock()
		b.x.broke = err
		b.x.mu.Unlock()
	}
	return n, err
}
