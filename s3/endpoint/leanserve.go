package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alio-lake/alio/origin"
)

// serve answers a plain request, if it is surely let in and the backend has all of it at hand. Until the head of an answer is on its way
// nothing has happened that net/http and Handler could not do over; answered is false then. An error ends the connection. now is the
// time at the end.
func (c *leanConn) serve(q *leanRequest) (answered bool, now time.Time, err error) {
	start := time.Now()
	if !c.begin() {
		return false, start, io.EOF
	}
	defer func() {
		if !c.end() && err == nil {
			err = io.EOF
		}
	}()
	h, m := c.door.o.Handler, c.door.metrics
	g := h.auth.Load().checkLean(q, &c.s.memo, start)
	if g == nil || !g.mount(q.bucket) || !g.key(q.bucket, q.key) {
		m.lean[leanRefused].Inc()
		return false, start, nil
	}
	req := q.rng.request("")
	hit := h.hits.Hit(q.name, HitRange{Offset: req.Offset, Length: req.Length, Suffix: req.Suffix}, q.etag)
	if hit == nil {
		m.lean[leanMissed].Inc()
		return false, start, nil
	}
	defer hit.Close()
	a := &c.s.answer
	*a = leanAnswer{c: c, q: q, hit: hit}
	defer a.forget()
	first, ok := a.open(start)
	if !ok {
		m.lean[leanMissed].Inc()
		return false, start, nil
	}
	m.lean[leanAnswered].Inc()
	m.inFlight.Inc()
	defer m.inFlight.Dec()
	code, err := a.send(first)
	now = time.Now()
	m.sent.Add(float64(a.sent))
	m.requests[opGet][code].Inc()
	m.seconds[opGet].Observe(now.Sub(start).Seconds())
	return true, now, err
}

// leanAnswer is one answer of the lean way.
type leanAnswer struct {
	c            *leanConn
	q            *leanRequest
	hit          Hit
	offset, left int64 // of the body, what is still to be sent
	sent         int64 // bytes of the body
}

// forget lets go of what belongs to the backend.
func (a *leanAnswer) forget() { *a = leanAnswer{} }

// open checks what the backend found, writes the head into the scratch and gets the first page. false: nothing came of it.
func (a *leanAnswer) open(now time.Time) (first []byte, ok bool) {
	o := a.hit.Object()
	if a.q.etag != nil && view(a.q.etag) != o.ETag {
		return nil, false
	}
	a.offset, a.left = a.hit.Range()
	if off, n, ok := a.q.rng.resolve(o.Size); !ok || off != a.offset || n != a.left || n <= 0 {
		return nil, false
	}
	if !a.head(o, now) {
		return nil, false
	}
	first, err := a.hit.Next(a.c.ctx)
	return first, err == nil && len(first) > 0 && int64(len(first)) <= a.left
}

// head writes the same headers as exchange.objectHeaders and net/http. It returns false if one of them would have to be mended first.
func (a *leanAnswer) head(o *origin.Object, now time.Time) bool {
	s := a.c.s
	b := s.head[:0]
	if a.q.rng.set {
		b = append(b, "HTTP/1.1 206 Partial Content\r\nContent-Range: "...)
		b = appendContentRange(b, a.offset, a.left, o.Size)
	} else {
		b = append(b, "HTTP/1.1 200 OK"...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, a.left, 10)
	b = append(b, "\r\nDate: "...)
	b = s.date.append(b, now)
	b = append(b, "\r\nAccept-Ranges: bytes\r\nX-Amz-Request-Id: "...)
	b = a.c.door.o.Handler.ids.append(b)
	if !o.ModTime.IsZero() {
		b = append(b, "\r\nLast-Modified: "...)
		b = s.modified.append(b, o.ModTime)
	}
	if o.ETag != "" {
		b = append(b, "\r\nEtag: "...)
		b = append(b, o.ETag...)
	}
	clean, typed := isClean(o.ETag), false
	for name, value := range o.Attributes {
		if !tellsAttribute(name, a.q.checksums && !a.q.rng.set) {
			continue
		}
		clean = clean && isClean(value) && isName(name)
		typed = typed || name == "Content-Type"
		b = append(append(append(append(b, "\r\n"...), name...), ": "...), value...)
	}
	if !typed {
		b = append(b, "\r\nContent-Type: "+defaultType...)
	}
	if len(b) > leanBuffer { // not worth keeping a buffer for
		return false
	}
	s.head = append(b, "\r\n\r\n"...)
	return clean
}

// isClean reports whether net/http would write a header's value as it is.
func isClean(value string) bool {
	if value == "" {
		return true
	}
	first, last := value[0], value[len(value)-1]
	return first > ' ' && last > ' ' && strings.IndexByte(value, '\n') < 0 && strings.IndexByte(value, '\r') < 0
}

func isName(name string) bool {
	for i := 0; i < len(name); i++ {
		if !isToken[name[i]] {
			return false
		}
	}
	return name != ""
}

// send sends head and body. code is what became of the answer, for the metrics; an error says that the connection is of no more use.
func (a *leanAnswer) send(first []byte) (code int, err error) {
	c, s := a.c, a.c.s
	n, err := c.write(s.head, first)
	a.advance(max(0, n-int64(len(s.head))))
	for err == nil && a.left > 0 {
		page, failed := a.hit.Next(c.ctx)
		if failed != nil || len(page) == 0 || int64(len(page)) > a.left {
			err = a.rest()
			break
		}
		err = a.write(page)
	}
	if err == nil {
		if a.q.rng.set {
			return codeOf(http.StatusPartialContent), nil
		}
		return codeOf(http.StatusOK), nil
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || c.ctx.Err() != nil {
		return codeClientGone, io.EOF
	}
	c.door.o.Handler.log.Warn().Err(err).Str("mount", a.q.bucket).Str("key", a.q.key).
		Msg("connection cut in mid-body, the client will ask again")
	return codeAborted, io.EOF
}

func (a *leanAnswer) advance(n int64) {
	a.sent, a.offset, a.left = a.sent+n, a.offset+n, a.left-n
}

func (a *leanAnswer) write(page []byte) error {
	n, err := a.c.write(page, nil)
	a.advance(n)
	return err
}

// rest sends what the cache could not: a page was evicted meanwhile, or its disk failed. The head is out, so it must be the same version.
func (a *leanAnswer) rest() error {
	seen := a.hit.Object()
	o := origin.Object{Version: origin.Version(strings.Clone(string(seen.Version))), ETag: strings.Clone(seen.ETag), Size: seen.Size}
	key, mount := strings.Clone(a.q.key), strings.Clone(a.q.bucket)
	same := func(now *origin.Object) error {
		if now.Version != o.Version || now.ETag != o.ETag || now.Size != o.Size {
			return origin.NewError(origin.ErrVersionChanged, "read", key, nil)
		}
		return nil
	}
	req := origin.ReadRequest{Path: key, Version: o.Version, ETag: o.ETag, Offset: a.offset, Length: a.left}
	content, err := a.c.door.o.Handler.backend.Open(a.c.ctx, mount, req, same)
	if err != nil {
		return err
	}
	defer content.Body.Close()
	if err := same(&content.Object); err != nil {
		return err
	}
	if content.Offset != a.offset || content.Length != a.left {
		return fmt.Errorf("asked for %d bytes at %d, got %d at %d", a.left, a.offset, content.Length, content.Offset)
	}
	if wt, ok := content.Body.(io.WriterTo); ok {
		_, err = wt.WriteTo(bodyWriter{a})
	} else {
		bp := copyBuffers.Get().(*[]byte)
		_, err = io.CopyBuffer(bodyWriter{a}, struct{ io.Reader }{content.Body}, *bp)
		copyBuffers.Put(bp)
	}
	if err == nil && a.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// bodyWriter writes into an answer's body, and not beyond it.
type bodyWriter struct{ a *leanAnswer }

func (w bodyWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.a.left {
		return 0, http.ErrContentLength
	}
	before := w.a.sent
	err := w.a.write(p)
	return int(w.a.sent - before), err
}

// write sends two pieces, of which the second may be empty. A client that takes nothing for WriteTimeout (twice that at most) loses its
// connection, since what is written to it may be memory that others wait for.
func (c *leanConn) write(a, b []byte) (sent int64, err error) {
	s, patience := c.s, c.door.o.WriteTimeout
	s.vec = [2][]byte{a, b}
	defer func() { s.vec = [2][]byte{} }()
	total := len(a) + len(b)
	for {
		if now := time.Now(); c.writeUntil.Sub(now) < patience {
			c.writeUntil = now.Add(2 * patience)
			if err := c.SetWriteDeadline(c.writeUntil); err != nil {
				return sent, err
			}
		}
		c.failed = nil
		err := c.raw.Write(c.send)
		if err == nil {
			err = c.failed
		}
		before := sent
		sent = int64(total - len(s.vec[0]) - len(s.vec[1]))
		if err == nil || sent == before || !errors.Is(err, os.ErrDeadlineExceeded) {
			return sent, err
		}
	}
}

// httpDateMemo keeps the date of the last second that was asked for: of the present one, and of files that were written together.
type httpDateMemo struct {
	second int64
	text   [len(http.TimeFormat)]byte
}

func (m *httpDateMemo) append(b []byte, now time.Time) []byte {
	if s := now.Unix(); s != m.second || m.text[0] == 0 {
		m.second = s
		now.UTC().AppendFormat(m.text[:0], http.TimeFormat)
	}
	return append(b, m.text[:]...)
}

// background is the context of a door that was given none.
func background(net.Listener) context.Context { return context.Background() }
