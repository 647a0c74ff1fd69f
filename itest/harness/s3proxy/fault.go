package s3proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// Fault is one way to break a request. Make one with SlowDown, Status, BrokenBody, HangBody or Hang.
type Fault struct {
	Name string

	status    int    // answered instead of passing on
	code      string // the S3 error code in its body
	hang      bool   // never answers
	bodyAfter int64  // body bytes that still pass when body is set
	body      bodyFault
}

type bodyFault int

const (
	bodyWhole bodyFault = iota
	bodyCut
	bodyHangs
)

// Status answers with an S3 error instead of passing the request on.
func Status(status int, code string) Fault {
	return Fault{Name: fmt.Sprintf("%d %s", status, code), status: status, code: code}
}

// SlowDown is the answer of a store that throttles.
func SlowDown() Fault { return Status(http.StatusServiceUnavailable, "SlowDown") }

// BrokenBody cuts the connection after n bytes of the answer's body.
func BrokenBody(n int64) Fault { return Fault{Name: "broken body", bodyAfter: n, body: bodyCut} }

// HangBody stops sending after n bytes of the body and holds the connection open.
func HangBody(n int64) Fault { return Fault{Name: "hung body", bodyAfter: n, body: bodyHangs} }

// Hang never answers: the connection stays open until the client leaves or the proxy closes.
func Hang() Fault { return Fault{Name: "hang", hang: true} }

// Rule says which requests are broken, and how.
type Rule struct {
	Match func(*http.Request) bool // nil: every request. Called under the proxy's lock: it must not call the proxy
	Times int                      // how many are broken before the rule ends; 0: no end
	Fault Fault
}

type rule struct {
	Rule
	left int
}

// Inject adds a rule; the first that matches wins. The returned function removes it.
func (p *Proxy) Inject(r Rule) (remove func()) {
	added := &rule{Rule: r, left: r.Times}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, added)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.rules = slices.DeleteFunc(p.rules, func(o *rule) bool { return o == added })
	}
}

// pickFault is called under the lock.
func (p *Proxy) pickFault(r *http.Request) *Fault {
	for _, ru := range p.rules {
		if ru.Times > 0 && ru.left == 0 || ru.Match != nil && !ru.Match(r) {
			continue
		}
		ru.left--
		return &ru.Fault
	}
	return nil
}

// instead answers in place of the endpoint, if the fault is of that sort.
func (p *Proxy) instead(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	switch {
	case f.hang:
		select {
		case <-r.Context().Done():
		case <-p.closing:
		}
		panic(http.ErrAbortHandler)
	case f.status != 0:
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(f.status)
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>injected</Message></Error>`, f.code)
		return true
	}
	return false
}

type faultKey struct{}

func withFault(r *http.Request, f *Fault) *http.Request {
	if f == nil || f.body == bodyWhole {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), faultKey{}, f))
}

// breakBody puts the faulty body in place of the answer's. The reverse proxy cuts the connection when a body's read fails.
func (p *Proxy) breakBody(res *http.Response) error {
	f, ok := res.Request.Context().Value(faultKey{}).(*Fault)
	if ok {
		res.Body = &brokenBody{ReadCloser: res.Body, left: f.bodyAfter, hang: f.body == bodyHangs, ctx: res.Request.Context(), closing: p.closing}
	}
	return nil
}

type brokenBody struct {
	io.ReadCloser
	left    int64
	hang    bool
	ctx     context.Context
	closing <-chan struct{}
}

var errInjected = errors.New("s3proxy: body broken by rule")

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if b.hang {
			select {
			case <-b.ctx.Done():
			case <-b.closing:
			}
		}
		return 0, errInjected
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
