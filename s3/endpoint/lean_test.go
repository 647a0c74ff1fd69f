package endpoint

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/origin"
)

// TestLeanHitAllocatesNothing counts over requests on one connection, client included, through a Unix socket and TCP, signed and not.
func TestLeanHitAllocatesNothing(t *testing.T) {
	for _, signed := range []bool{false, true} {
		m := newMemory(1<<18, 1<<16) // several pages an answer
		o := Options{Backend: m}
		if signed {
			o.Credentials = []Credential{{AccessKeyID: testKey, SecretAccessKey: testSecret, Mounts: []string{"lake/warehouse"}}}
		}
		h := newHandler(t, o)
		_, addr := startDoor(t, DoorOptions{Handler: h})
		c := newRawClient(t, addr, rawGET(1<<17, signed), m.data[4096:4096+1<<17])
		before := counted(h.metrics.lean[leanAnswered])
		if before != 1 {
			t.Fatalf("signed %v: the first request was answered by net/http", signed)
		}
		once := func() {
			if err := c.once(); err != nil {
				t.Fatal(err)
			}
		}
		for range 50 { // pools fill, and the poller's structures are made
			once()
		}
		var from, to runtime.MemStats
		runtime.ReadMemStats(&from)
		for range 2000 {
			once()
		}
		runtime.ReadMemStats(&to)
		if n := to.Mallocs - from.Mallocs; n > 20 { // of the runtime's own, now and then
			t.Errorf("signed %v: %d allocations in 2000 hits", signed, n)
		}
		if n := counted(h.metrics.lean[leanAnswered]); n < 2050 {
			t.Errorf("signed %v: %v answered on the lean way", signed, n)
		}
	}
}

// get sends a request without a signature and reads the answer.
func (s *side) get(t *testing.T, target string, header ...string) reply {
	t.Helper()
	s.ask(t, "GET", target, "", header...)
	return readReply(s.br, "GET")
}

func (s *side) ask(t *testing.T, method, target, body string, header ...string) {
	t.Helper()
	if s.conn == nil {
		s.dial(t)
	}
	raw := method + " " + target + " HTTP/1.1\r\nHost: h\r\n"
	for _, h := range header {
		raw += h + "\r\n"
	}
	if _, err := s.conn.Write([]byte(raw + "\r\n" + body)); err != nil {
		t.Fatal(err)
	}
}

// newSide starts a door on a backend with one object, "lake/k", of n bytes in pages of 1000.
func newSide(t *testing.T, n int, o DoorOptions) *side {
	f := newHitFake("lake")
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i % 253)
	}
	f.put("lake", "k", data, nil)
	f.put("lake", "flaky/k", data, nil)
	o.Handler = newHandler(t, Options{Backend: f})
	d, addr := startDoor(t, o)
	s := &side{backend: f, handler: o.Handler, door: d, addr: addr}
	t.Cleanup(func() {
		if s.conn != nil {
			s.conn.Close()
		}
	})
	return s
}

func (s *side) answered() float64 { return counted(s.handler.metrics.lean[leanAnswered]) }

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// TestLeanComesBack: after whatever net/http answered, the connection's next plain GET is the lean way's again.
func TestLeanComesBack(t *testing.T) {
	s := newSide(t, 5000, DoorOptions{})
	body := strings.Repeat("x", 100<<10)
	for i, c := range []struct {
		method, target, body string
		header               []string
		kept                 bool // net/http keeps the connection
	}{
		{method: "HEAD", target: "/lake/k"},
		{method: "GET", target: "/lake/none"},
		{method: "GET", target: "/lake?list-type=2"},
		{method: "GET", target: "/lake/k", header: []string{"If-None-Match: *"}},
		{method: "PUT", target: "/lake/new", body: body, header: []string{fmt.Sprint("Content-Length: ", len(body))}},
		{method: "PUT", target: "/lake/new", body: "abc", header: []string{"Content-Length: 3", "Expect: 100-continue"}},
		{method: "PUT", target: "/lake/k?acl", body: body, header: []string{fmt.Sprint("Content-Length: ", len(body))}},
		{method: "POST", target: "/lake/k"},
		{method: "DELETE", target: "/lake/new"},
		{method: "GET", target: "/lake/k", body: "5\r\nhello\r\n0\r\n\r\n", header: []string{"Transfer-Encoding: chunked"}, kept: true},
		{method: "GET", target: "/lake/k", header: []string{"User-Agent: " + strings.Repeat("u", leanBuffer)}, kept: true},
		{method: "GET", target: "/lake/k", header: []string{"User-Agent: a\r\n b"}, kept: true},
	} {
		s.dial(t)
		for range 3 {
			s.ask(t, c.method, c.target, c.body, c.header...)
			if r := readReply(s.br, c.method); r.status == 100 {
				readReply(s.br, c.method)
			} else if r.err != "" {
				t.Fatalf("%d: %v", i, r)
			}
			before := s.answered()
			if r := s.get(t, "/lake/k", "Range: bytes=1-3000"); r.status != 206 || len(r.body) != 3000 {
				t.Fatalf("%d: %v", i, r)
			}
			if lean := s.answered() > before; lean == c.kept {
				t.Errorf("%d: %s %s: the next GET was answered on the lean way: %v", i, c.method, c.target, lean)
			}
		}
	}
}

// TestLeanEagerClients: requests that arrive while a handler runs wait for it, and cost the connection nothing.
func TestLeanEagerClients(t *testing.T) {
	s := newSide(t, 5000, DoorOptions{})
	entered, release := make(chan struct{}), make(chan struct{})
	s.backend.forward = func(string, string, *http.Request) (*http.Response, error) {
		entered <- struct{}{}
		<-release
		return answer(200, nil, "slow"), nil
	}
	for range 5 {
		s.ask(t, "GET", "/lake/k?acl", "")
		<-entered
		s.ask(t, "GET", "/lake/k", "", "Range: bytes=0-9")
		s.ask(t, "GET", "/lake/k?acl", "")
		s.ask(t, "GET", "/lake/k", "", "Range: bytes=2000-4999")
		release <- struct{}{}
		<-entered
		release <- struct{}{}
		for i, n := range []int{4, 10, 4, 3000} {
			if r := readReply(s.br, "GET"); len(r.body) != n {
				t.Fatalf("answer %d: %v", i, r)
			}
		}
	}
	if n := s.answered(); n != 10 {
		t.Errorf("%v of 10 answered on the lean way", n)
	}
	// A client that goes away while a handler runs still ends that handler's context, on a connection that was lean before.
	gone := make(chan struct{})
	s.backend.forward = func(_, _ string, r *http.Request) (*http.Response, error) {
		entered <- struct{}{}
		<-r.Context().Done()
		close(gone)
		return nil, r.Context().Err()
	}
	s.ask(t, "GET", "/lake/k?acl", "")
	<-entered
	s.conn.Close()
	<-gone
}

// TestLeanUnixSocket: the same over a Unix socket.
func TestLeanUnixSocket(t *testing.T) {
	m := newMemory(1<<18, 1<<16)
	h := newHandler(t, Options{Backend: m})
	l, err := net.Listen("unix", t.TempDir()+"/s3.sock")
	if err != nil {
		t.Fatal(err)
	}
	startDoorOn(t, DoorOptions{Handler: h}, l)
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	br := bufio.NewReader(conn)
	for range 3 {
		if _, err := conn.Write(rawGET(1<<17, false)); err != nil {
			t.Fatal(err)
		}
		if r := readReply(br, "GET"); r.status != 206 || r.body != string(m.data[4096:4096+1<<17]) {
			t.Fatalf("%d %d %s", r.status, len(r.body), r.err)
		}
	}
	if n := counted(h.metrics.lean[leanAnswered]); n != 3 {
		t.Errorf("%v of 3 answered on the lean way", n)
	}
}

// TestLeanBrokenPages: a page that fails after the head went out is read otherwise, at the same version; where that fails too the connection is
// cut, and a client never takes a short body for a whole one.
func TestLeanBrokenPages(t *testing.T) {
	whole := func(t *testing.T, s *side) string {
		r := s.get(t, "/lake/flaky/k")
		if r.status != 200 || r.err != "" {
			t.Fatal(r)
		}
		return r.body
	}
	s := newSide(t, 9500, DoorOptions{})
	want, _ := s.backend.get("lake", "flaky/k")
	if whole(t, s) != string(want) || s.answered() != 1 {
		t.Error("wrong bytes, or not on the lean way")
	}
	s = newSide(t, 9500, DoorOptions{})
	s.backend.body = func(d []byte) io.ReadCloser { return hitBody{d} }
	if whole(t, s) != string(want) || s.answered() != 1 {
		t.Error("wrong bytes of a body that writes itself")
	}
	for name, prepare := range map[string]func(s *side){
		"changed": func(s *side) {
			s.backend.onNext(func(_ context.Context, h *fakeHit) ([]byte, error) {
				if len(h.left) < len(h.data) {
					s.backend.put("lake", "flaky/k", bytes.Repeat([]byte("n"), 9500), nil)
					return nil, errEvicted
				}
				return h.take(), nil
			})
		},
		"gone": func(s *side) {
			s.backend.onNext(func(_ context.Context, h *fakeHit) ([]byte, error) {
				if len(h.left) < len(h.data) {
					s.backend.fail(origin.NewError(origin.ErrNotFound, "read", "flaky/k", nil))
					return nil, io.EOF
				}
				return h.take(), nil
			})
		},
		"short body": func(s *side) {
			s.backend.body = func(d []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(d[:len(d)-1])) }
		},
		"long body": func(s *side) {
			s.backend.body = func(d []byte) io.ReadCloser { return hitBody{append(bytes.Clone(d), 'x')} }
		},
	} {
		s := newSide(t, 9500, DoorOptions{})
		prepare(s)
		r := s.get(t, "/lake/flaky/k")
		if r.err != io.ErrUnexpectedEOF.Error() {
			t.Errorf("%s: %v", name, r)
		}
		until(t, name+" is counted, its hit closed", func() bool {
			return counted(s.handler.metrics.requests[opGet][codeAborted]) == 1 && s.backend.open.Load() == 0
		})
	}
}

// TestLeanMemoIsOfOneKey: a signature that holds says nothing of the next one, which may claim another key, day or region.
func TestLeanMemoIsOfOneKey(t *testing.T) {
	const other = "AKIAOTHER"
	a := newAuthenticator([]Credential{{AccessKeyID: testKey, SecretAccessKey: testSecret}, {AccessKeyID: other, SecretAccessKey: "s2", Mounts: []string{"pond"}}}, "")
	good := string(rawGET(10, true))
	today := time.Now().UTC().Format("20060102")
	var memo keyMemo
	for i, c := range []struct {
		raw string
		ok  bool
	}{
		{good, true}, {good, true},
		{strings.Replace(good, testKey, other, 1), false},
		{good, true},
		{strings.Replace(good, "us-east-1", "eu-west-1", 1), false},
		{strings.Replace(good, "/"+today+"/", "/20130524/", 1), false},
		{strings.Replace(good, "Range: bytes=4096", "Range: bytes=4097", 1), false},
		{good, true},
	} {
		var q leanRequest
		if q.parse([]byte(c.raw), "") != framed || !q.plain {
			t.Fatal("not plain")
		}
		if g := a.checkLean(&q, &memo, time.Now()); (g != nil) != c.ok || g != nil && g != &a.byKey[testKey].grants {
			t.Errorf("request %d: let in: %v", i, g != nil)
		}
	}
}

// TestLeanSDK: what aws-sdk-go-v2 sends for a plain GET is plain.
func TestLeanSDK(t *testing.T) {
	f := newHitFake("lake")
	f.put("lake", "day=1/a b", []byte("0123456789"), nil)
	o := signedOptions(f.fake)
	o.Backend = f
	h := newHandler(t, o)
	_, addr := startDoor(t, DoorOptions{Handler: h})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + addr), Region: "us-east-1", UsePathStyle: true, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, ""), RetryMaxAttempts: 1,
	})
	for i, in := range []*s3.GetObjectInput{{}, {Range: aws.String("bytes=2-4")}, {Range: aws.String("bytes=-3"), IfMatch: aws.String(f.mounts["lake"]["day=1/a b"].obj.ETag)}} {
		in.Bucket, in.Key = aws.String("lake"), aws.String("day=1/a b")
		out, err := client.GetObject(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(out.Body)
		if want := []string{"0123456789", "234", "789"}[i]; err != nil || string(body) != want {
			t.Errorf("%q, %v, want %q", body, err, want)
		}
		out.Body.Close()
	}
	if n := counted(h.metrics.lean[leanAnswered]); n != 3 {
		t.Errorf("%v of 3 answered on the lean way", n)
	}
}
