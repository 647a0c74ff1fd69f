package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// held makes the pages of a backend wait: each Next says so on entered, and goes on when released.
func (s *side) held() (entered, release chan struct{}) {
	entered, release = make(chan struct{}), make(chan struct{})
	s.backend.onNext(func(_ context.Context, h *fakeHit) ([]byte, error) {
		if len(h.left) < len(h.data) {
			entered <- struct{}{}
			<-release
		}
		return h.take(), nil
	})
	return entered, release
}

// wantClosed fails unless the connection ends now.
func (s *side) wantClosed(t *testing.T) {
	t.Helper()
	s.conn.SetReadDeadline(time.Now().Add(4 * time.Second)) // net/http gives a connection without a request 5 s
	if b, err := s.br.ReadByte(); err == nil {
		t.Errorf("the connection goes on with %q", b)
	} else if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
		t.Error("the connection is still open")
	}
}

// TestShutdownFinishesLeanAnswers: an answer under way is finished and its connection closed before Shutdown returns; idle connections
// are closed at once, whether they ever were net/http's or not, and so are those that come too late.
func TestShutdownFinishesLeanAnswers(t *testing.T) {
	for _, general := range []bool{false, true} { // was net/http's before, so that net/http takes it for idle
		s := newSide(t, 3000, DoorOptions{})
		idle := [3]*side{}
		for i := range idle {
			idle[i] = &side{addr: s.addr}
			idle[i].dial(t)
			defer idle[i].conn.Close()
			if i > 0 {
				idle[i].get(t, "/lake/k")
			}
			if i > 1 {
				idle[i].get(t, "/lake/none")
			}
		}
		until(t, "3 connections", func() bool { return len(s.door.open()) == 3 })
		if general {
			s.get(t, "/lake/none")
		}
		entered, release := s.held()
		s.ask(t, "GET", "/lake/k", "")
		<-entered
		done := make(chan error, 1)
		go func() { done <- s.door.Shutdown(t.Context()) }()
		for _, c := range idle {
			c.wantClosed(t)
		}
		until(t, "only the answer is left", func() bool {
			left := s.door.open()
			if len(left) != 1 || !general {
				return len(left) == 1
			}
			left[0].mu.Lock()
			defer left[0].mu.Unlock()
			return left[0].doomed
		})
		release <- struct{}{}
		<-entered
		s.ask(t, "GET", "/lake/k", "") // too late
		if len(done) != 0 {
			t.Fatal("Shutdown returned in mid-answer")
		}
		release <- struct{}{}
		if r := readReply(s.br, "GET"); r.status != 200 || len(r.body) != 3000 {
			t.Errorf("%v", r)
		}
		s.wantClosed(t)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := net.Dial("tcp", s.addr); err == nil {
			t.Error("still accepting")
		}
	}
}

// TestShutdownGivesUp: the grace ends before the answer does; Close then cuts it off.
func TestShutdownGivesUp(t *testing.T) {
	for _, general := range []bool{false, true} { // was net/http's before, so that net/http takes it for idle
		s := newSide(t, 3000, DoorOptions{})
		if general {
			s.get(t, "/lake/none")
		}
		entered, release := s.held()
		s.ask(t, "GET", "/lake/k", "")
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.door.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		for range 2 {
			if err := s.door.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if n := len(s.door.open()); n != 0 {
			t.Errorf("%d connections open", n)
		}
		close(release)
		if r := readReply(s.br, "GET"); r.err == "" {
			t.Errorf("a whole answer on a connection that was cut: %v", r)
		}
		until(t, "the hit is closed", func() bool { return s.backend.open.Load() == 0 })
		if err := s.door.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestContextReachesReads: what ends the door's requests ends a read from the origin that a broken page caused.
func TestContextReachesReads(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSide(t, 3000, DoorOptions{BaseContext: func(net.Listener) context.Context { return ctx }})
	waiting := make(chan struct{})
	s.backend.onNext(func(ctx context.Context, h *fakeHit) ([]byte, error) {
		if len(h.left) == len(h.data) {
			return h.take(), nil
		}
		close(waiting)
		<-ctx.Done()
		s.backend.fail(ctx.Err())
		return nil, ctx.Err()
	})
	s.ask(t, "GET", "/lake/k", "")
	<-waiting
	cancel()
	if r := readReply(s.br, "GET"); r.err == "" {
		t.Errorf("%v", r)
	}
}

// TestTimeouts: a connection ends when nothing comes and when a head does not end.
func TestTimeouts(t *testing.T) {
	const short, long = 40 * time.Millisecond, time.Hour
	t.Run("nothing comes", func(t *testing.T) {
		s := newSide(t, 3000, DoorOptions{ReadHeaderTimeout: short, IdleTimeout: long})
		s.dial(t)
		s.wantClosed(t)
	})
	t.Run("idle", func(t *testing.T) {
		s := newSide(t, 3000, DoorOptions{ReadHeaderTimeout: long, IdleTimeout: 300 * time.Millisecond})
		for range 2 {
			s.get(t, "/lake/k")
		}
		s.wantClosed(t)
		if s.answered() != 2 {
			t.Error("not on the lean way")
		}
	})
	t.Run("torn head", func(t *testing.T) {
		for _, first := range []string{"", "/lake/k", "/lake/none"} {
			for _, torn := range []string{"GET /lake/k HT", "GET /lake/k HTTP/1.1\nHost"} { // the latter is net/http's at once
				s := newSide(t, 3000, DoorOptions{ReadHeaderTimeout: 10 * short, IdleTimeout: long})
				s.dial(t)
				if first != "" {
					s.get(t, first)
				}
				io.WriteString(s.conn, torn)
				s.conn.SetReadDeadline(time.Now().Add(4 * time.Second))
				if _, err := io.Copy(io.Discard, s.br); err != nil { // net/http may say 400 before it closes
					t.Errorf("%q after %q: %v", torn, first, err)
				}
			}
		}
	})
	t.Run("busy", func(t *testing.T) { // the idle timeout is moved on, by either way
		for _, targets := range [][]string{{"/lake/k"}, {"/lake/k", "/lake/none"}} {
			s := newSide(t, 3000, DoorOptions{IdleTimeout: 600 * time.Millisecond})
			for start := time.Now(); time.Since(start) < 800*time.Millisecond; {
				for _, target := range targets {
					if r := s.get(t, target); r.err != "" {
						t.Fatal(time.Since(start), r)
					}
				}
			}
		}
	})
}

// TestWriteTimeouts: a connection ends when a client takes nothing of an answer, and only then.
func TestWriteTimeouts(t *testing.T) {
	const short = 40 * time.Millisecond
	t.Run("slow client", func(t *testing.T) {
		s := newSide(t, 32<<20, DoorOptions{WriteTimeout: short})
		s.backend.page = 1 << 20
		s.ask(t, "GET", "/lake/k", "")
		until(t, "its hit is closed", func() bool { return s.answered() == 1 && s.backend.open.Load() == 0 })
		if n := counted(s.handler.metrics.requests[opGet][codeAborted]); n != 1 {
			t.Errorf("%v counted as aborted", n)
		}
	})
	t.Run("slow handler", func(t *testing.T) { // no deadline of the lean way is left on it
		s := newSide(t, 3000, DoorOptions{ReadHeaderTimeout: short, WriteTimeout: short, IdleTimeout: 300 * time.Millisecond})
		s.backend.forward = func(string, string, *http.Request) (*http.Response, error) {
			<-time.After(400 * time.Millisecond)
			return answer(200, nil, "slow"), nil
		}
		s.get(t, "/lake/k")
		if r := s.get(t, "/lake/k?acl"); r.body != "slow" || s.answered() != 1 {
			t.Error(r)
		}
	})
	t.Run("slow but alive", func(t *testing.T) {
		const size = 8 << 20
		s := newSide(t, size, DoorOptions{WriteTimeout: 500 * time.Millisecond})
		s.backend.page = size // one write takes longer than the timeout
		s.dial(t)
		s.conn.(*net.TCPConn).SetReadBuffer(16 << 10)
		s.ask(t, "GET", "/lake/k", "")
		buf := make([]byte, size/16)
		tick := time.NewTicker(80 * time.Millisecond)
		defer tick.Stop()
		for range 16 {
			<-tick.C
			if _, err := io.ReadFull(s.br, buf); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestIdleConnectionsHoldNoBuffers: nor do those on which net/http runs a handler.
func TestIdleConnectionsHoldNoBuffers(t *testing.T) {
	s := newSide(t, 3000, DoorOptions{})
	stop := make(chan struct{})
	defer close(stop)
	s.backend.forward = func(string, string, *http.Request) (*http.Response, error) {
		<-stop
		return answer(200, nil, ""), nil
	}
	idle := func() int {
		s.door.scratch.mu.Lock()
		defer s.door.scratch.mu.Unlock()
		return len(s.door.scratch.idle)
	}
	for i := range 9 {
		one, before := &side{addr: s.addr}, idle()
		one.dial(t)
		defer one.conn.Close()
		switch i % 3 {
		case 0:
			one.get(t, "/lake/k")
		case 1:
			one.get(t, "/lake/none")
		case 2:
			one.ask(t, "GET", "/lake/k?acl", "")
		}
		// A connection that net/http watches for a hang-up borrows a buffer for a moment, too, so that there may be a second one.
		until(t, "its buffer is back", func() bool { return idle() >= max(before, 1) })
	}
}

// TestClientHangsUp: counted as such, on the lean way too, and nothing is left behind.
func TestClientHangsUp(t *testing.T) {
	s := newSide(t, 32<<20, DoorOptions{})
	s.backend.page = 1 << 20
	s.ask(t, "GET", "/lake/k", "")
	until(t, "an answer", func() bool { return s.backend.open.Load() == 1 })
	s.conn.(*net.TCPConn).SetLinger(0)
	s.conn.Close()
	until(t, "the hit is closed", func() bool {
		return counted(s.handler.metrics.requests[opGet][codeClientGone]) == 1 && s.backend.open.Load() == 0
	})
	until(t, "no connection", func() bool { return len(s.door.open()) == 0 })
	if n := counted(s.handler.metrics.inFlight); n != 0 {
		t.Errorf("%v in flight", n)
	}
}

// TestDoorTLS: HTTP/2 and TLS work as they did, and never meet the lean way; nor does a backend without hits.
func TestDoorTLS(t *testing.T) {
	f := newHitFake("lake")
	f.put("lake", "k", []byte("0123456789"), nil)
	donor := httptest.NewUnstartedServer(nil)
	donor.StartTLS()
	defer donor.Close()
	h := newHandler(t, Options{Backend: f})
	_, addr := startDoor(t, DoorOptions{Handler: h, TLSConfig: &tls.Config{Certificates: donor.TLS.Certificates}})
	client := donor.Client()
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + addr + "/lake/k")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.ProtoMajor != 2 || string(body) != "0123456789" || err != nil {
		t.Error(resp, string(body), err)
	}
	plain := newHandler(t, Options{Backend: f.fake})
	d, addr := startDoor(t, DoorOptions{Handler: plain})
	s := &side{addr: addr}
	s.dial(t)
	defer s.conn.Close()
	if r := s.get(t, "/lake/k"); r.body != "0123456789" || len(d.open()) != 0 {
		t.Error(r, len(d.open()))
	}
	if counted(h.metrics.lean[leanAnswered])+counted(plain.metrics.lean[leanMissed])+counted(plain.metrics.lean[leanNotPlain]) != 0 {
		t.Error("on the lean way")
	}
}

// TestHalfClosed: a client that sends all it has, closes its half and then reads gets all its answers.
func TestHalfClosed(t *testing.T) {
	s := newSide(t, 3000, DoorOptions{})
	s.dial(t)
	one := "GET /lake/k HTTP/1.1\r\nHost: h\r\n\r\n"
	io.WriteString(s.conn, one+strings.Replace(one, "/k", "/none", 1)+one+strings.Replace(one, "GET", "HEAD", 1)+one+"GET /torn")
	s.conn.(*net.TCPConn).CloseWrite()
	for i, c := range []struct {
		method string
		status int
	}{{"GET", 200}, {"GET", 404}, {"GET", 200}, {"HEAD", 200}, {"GET", 200}, {"GET", 400}} {
		if r := readReply(s.br, c.method); r.status != c.status {
			t.Errorf("answer %d: %v", i, r)
		}
	}
	s.wantClosed(t)
}

func TestDoorOptions(t *testing.T) {
	_, err := NewDoor(DoorOptions{ReadHeaderTimeout: -1, IdleTimeout: -1, WriteTimeout: -1, MaxHeaderBytes: -1})
	for _, want := range []string{"Handler", "ReadHeaderTimeout", "IdleTimeout", "WriteTimeout", "MaxHeaderBytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in: %v", want, err)
		}
	}
	d, err := NewDoor(DoorOptions{Handler: newHandler(t, Options{Backend: newHitFake("lake")})})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Close(), d.Shutdown(t.Context()), d.Close()); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Serve(l); err != http.ErrServerClosed {
		t.Error(err)
	}
}
