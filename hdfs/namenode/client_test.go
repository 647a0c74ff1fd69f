package namenode

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	pw "google.golang.org/protobuf/encoding/protowire"
)

// fake is a NameNode that answers calls as a test says. What a real one does is tested beside a real one (itest); here are the things that one
// does not do when it is asked to.
type fake struct {
	t      *testing.T
	l      net.Listener
	answer func(c call) []byte // a packet; nil: none

	mu    sync.Mutex
	conns []net.Conn
	calls []call
	wg    sync.WaitGroup
}

type call struct {
	method  string
	id      int32
	retry   int
	stateID bool
	body    []byte
}

func newFake(t *testing.T, answer func(c call) []byte) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, l: l, answer: answer}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			f.wg.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(f.stop)
	return f
}

func (f *fake) stop() {
	_ = f.l.Close()
	f.cut()
	f.wg.Wait()
}

// cut breaks all connections.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

func (f *fake) serve(c net.Conn) {
	head := make([]byte, 7)
	if _, err := c.Read(head); err != nil || string(head[:5]) != "hrpc\x09" {
		return
	}
	for {
		p, err := readPacket(c, 1<<20)
		if err != nil {
			return
		}
		got := parseCall(p)
		if got.id == callContext {
			continue
		}
		f.mu.Lock()
		f.calls = append(f.calls, got)
		f.mu.Unlock()
		if a := f.answer(got); a != nil {
			if _, err := c.Write(a); err != nil {
				return
			}
		}
	}
}

func (f *fake) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

func parseCall(p []byte) (c call) {
	var parts [][]byte
	for len(p) > 0 {
		b, n := pw.ConsumeBytes(p)
		if n < 0 {
			return c
		}
		parts, p = append(parts, b), p[n:]
	}
	_ = each(parts[0], func(f field) error {
		switch f.num {
		case 3:
			c.id = int32(pw.DecodeZigZag(f.value))
		case 5:
			c.retry = int(pw.DecodeZigZag(f.value))
		case 8:
			c.stateID = true
		}
		return nil
	})
	if len(parts) == 3 {
		_ = each(parts[1], func(f field) error {
			if f.num == 1 {
				c.method = string(f.data)
			}
			return nil
		})
		c.body = parts[2]
	}
	return c
}

func success(c call, body []byte) []byte {
	return frame(appendUint(appendUint(nil, 1, uint64(uint32(c.id))), 2, 0), body)
}

func exception(c call, class string, code uint64) []byte {
	h := appendUint(appendUint(nil, 1, uint64(uint32(c.id))), 2, 1)
	h = appendString(appendString(h, 4, class), 5, "why\n\tat some.Class(Some.java:1)")
	return frame(appendUint(h, 6, code))
}

// state answers getHAServiceState, and the rest as next says.
func state(s haState, next func(c call) []byte) func(c call) []byte {
	return func(c call) []byte {
		if c.method == "getHAServiceState" {
			return success(c, appendUint(nil, 1, uint64(s)))
		}
		return next(c)
	}
}

func ok(c call) []byte { return success(c, appendUint(nil, 1, 1)) }

func newClient(t *testing.T, change func(*Options), nodes ...*fake) *Client {
	t.Helper()
	o := Options{User: "test", DialTimeout: time.Second, CallTimeout: 5 * time.Second, FailoverTimeout: 10 * time.Second}
	for _, n := range nodes {
		o.Addresses = append(o.Addresses, n.l.Addr().String())
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestObserverIsNotAsked: an observer's namespace lags; neither its state nor a call's state id may make it answer.
func TestObserverIsNotAsked(t *testing.T) {
	observer, active := newFake(t, state(stateObserver, ok)), newFake(t, state(stateActive, ok))
	c := newClient(t, nil, observer, active)
	for range 3 {
		if gone, err := c.Delete(t.Context(), "/x"); err != nil || !gone {
			t.Fatal(gone, err)
		}
	}
	if c.Active() != active.l.Addr().String() {
		t.Errorf("the active NameNode is %s", c.Active())
	}
	for _, f := range []*fake{observer, active} {
		for _, call := range f.seen() {
			if call.stateID {
				t.Errorf("%s carries a state id, with which an observer answers", call.method)
			}
			if f == observer && call.method != "getHAServiceState" {
				t.Errorf("the observer was asked %s", call.method)
			}
		}
	}
}

// TestFailoverRepeatsTheCallByItsID: what one NameNode may have done must not be done again by the next; Hadoop tells by client and call id.
func TestFailoverRepeatsTheCallByItsID(t *testing.T) {
	var first *fake
	first = newFake(t, state(stateActive, func(call) []byte {
		go first.cut() // the answer is lost
		return nil
	}))
	second := newFake(t, state(stateActive, ok))
	c := newClient(t, nil, first, second)
	if gone, err := c.Delete(t.Context(), "/x"); err != nil || !gone {
		t.Fatal(gone, err)
	}
	a, b := first.seen(), second.seen()
	if a[1].id != b[1].id || a[1].retry != 0 || b[1].retry != 1 {
		t.Errorf("calls %+v and %+v", a[1], b[1])
	}
}

func TestStandbyAndRetriableAnswers(t *testing.T) {
	var n int
	standby := newFake(t, state(stateActive, func(c call) []byte { return exception(c, "org.apache.hadoop.ipc.StandbyException", 1) }))
	busy := newFake(t, state(stateActive, func(c call) []byte {
		if n++; n < 3 {
			return exception(c, "org.apache.hadoop.ipc.RetriableException", 1)
		}
		return ok(c)
	}))
	c := newClient(t, nil, standby, busy)
	if gone, err := c.Delete(t.Context(), "/x"); err != nil || !gone || n != 3 {
		t.Errorf("%v after %d calls, %v", gone, n, err)
	}
	all := newClient(t, func(o *Options) { o.FailoverTimeout = 300 * time.Millisecond }, standby, standby)
	_, err := all.Delete(t.Context(), "/x")
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "StandbyException") || strings.Contains(err.Error(), ".java") {
		t.Errorf("nobody active: %v", err)
	}
}

// TestOldNameNode knows neither getHAServiceState nor getLocatedFileInfo: a listing of the file tells the same, and the unknown call is not made again.
func TestOldNameNode(t *testing.T) {
	page := recorded(t, "list-file").body
	old := newFake(t, func(c call) []byte {
		if c.method == "getListing" {
			return success(c, page)
		}
		return exception(c, "org.apache.hadoop.ipc.RpcNoSuchMethodException", 2)
	})
	c := newClient(t, nil, old)
	for range 2 {
		s, err := c.Locate(t.Context(), "/closed")
		if err != nil || s.FileID != 16387 || len(s.Blocks) != 3 {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if got := old.seen(); len(got) != 4 {
		t.Errorf("calls: %+v", got)
	}
}

// TestDeadlines: a NameNode that takes connections and never answers costs a bounded time, and a caller's context ends its own wait alone.
func TestDeadlines(t *testing.T) {
	silent := newFake(t, state(stateActive, func(c call) []byte {
		if strings.Contains(string(c.body), "/answer") {
			return ok(c)
		}
		return nil
	}))
	c := newClient(t, func(o *Options) { o.CallTimeout = 300 * time.Millisecond }, silent)
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan error, 1)
	go func() {
		_, err := c.Delete(ctx, "/silent")
		begun <- err
	}()
	if gone, err := c.Delete(t.Context(), "/answer"); err != nil || !gone {
		t.Error("a call beside one that waits:", gone, err)
	}
	cancel()
	if err := <-begun; !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose context ended: %v", err)
	}
	at := time.Now()
	if _, err := c.Delete(t.Context(), "/silent"); !errors.Is(err, ErrUnreachable) || time.Since(at) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(at), err)
	}
	c.Close()
	c.Close()
	if _, err := c.Delete(t.Context(), "/answer"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestBrokenAnswers: bytes that are no answer end the connection and the call, not the process.
func TestBrokenAnswers(t *testing.T) {
	for name, bytes := range map[string][]byte{"garbage": []byte("\x00\x00\x00\x04\xff\xff\xff\xff"), "too long": []byte("\xff\xff\xff\xff"), "empty": make([]byte, 4)} {
		c := newClient(t, nil, newFake(t, state(stateActive, func(call) []byte { return bytes })))
		if _, err := c.Delete(t.Context(), "/x"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fatal := newFake(t, func(c call) []byte {
		h := appendString(appendUint(appendUint(nil, 1, uint64(uint32(c.id))), 2, 2), 4, "org.apache.hadoop.security.AccessControlException")
		return frame(appendUint(appendString(h, 5, "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]"), 6, 15))
	})
	if _, err := newClient(t, nil, fatal).Delete(t.Context(), "/x"); !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), "KERBEROS") {
		t.Errorf("a NameNode that wants Kerberos: %v", err)
	}
}
