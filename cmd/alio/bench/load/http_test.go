package load

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The reference is another implementation: the SDK's signer, given the same request.
func TestSignaturesAreThoseOfTheSDK(t *testing.T) {
	rng := random(t)
	s := newSigner("AKID", "secret", "127.0.0.1:9480")
	for range 20 {
		now := time.Unix(1_700_000_000+rng.Int64N(3e8), 0)
		req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:9480/bench/data-00003", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Range", "bytes=65536-131071")
		req.Header.Set("X-Amz-Content-Sha256", emptySHA256)
		err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, req, emptySHA256, "s3", region, now,
			func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		if err != nil {
			t.Fatal(err)
		}
		text := string(s.appendRequest(nil, []byte("/bench/data-00003"), []byte("bytes=65536-131071"), now))
		mine, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := mine.Header.Get("Authorization"), req.Header.Get("Authorization"); got != want {
			t.Fatalf("at %v signed\n%s\nwant\n%s", now, got, want)
		}
	}
}

func TestSigningAllocatesNothing(t *testing.T) {
	s := newSigner("AKID", "secret", "h")
	b := make([]byte, 0, 1024)
	now := time.Unix(1_700_000_000, 0)
	path, byteRange := []byte("/b/k"), []byte("bytes=0-1")
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		b = s.appendRequest(b[:0], path, byteRange, now)
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// serve answers every request on every connection with f's text.
func serve(t *testing.T, f func(*http.Request) string) HTTPOptions {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, f(req)); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return HTTPOptions{Network: "tcp", Address: ln.Addr().String(), Bucket: "b", Data: small, MaxBytes: 4096}
}

func TestAnswersThatAreNotWhatWasAskedFor(t *testing.T) {
	body := make([]byte, 4096)
	small.Fill(body, 8192)
	const good = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 8192-12287/131072\r\nConTent-LENGTH: 4096\r\n\r\n"
	for name, c := range map[string]struct{ text, want string }{
		"good":              {good + string(body), ""},
		"not partial":       {strings.Replace(good, "206 Partial Content", "200 OK", 1) + string(body), "not 206"},
		"another length":    {strings.Replace(good, "LENGTH: 4096", "LENGTH: 4095", 1) + string(body), "another length"},
		"no length":         {strings.Replace(good, "ConTent-LENGTH", "X", 1) + string(body), "another length"},
		"another range":     {strings.Replace(good, "bytes 8192", "bytes 4096", 1) + string(body), "another range"},
		"a refusal":         {"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden", "forbidden"},
		"too much":          {good + string(body) + "x", "over 4096 bytes"},
		"headers for ever":  {"HTTP/1.1 206 Partial Content\r\n" + strings.Repeat("X-A: b\r\n", 2000), "headers of over"},
		"a length too long": {strings.Replace(good, "4096\r", "40960000000000000000\r", 1), "another length"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := DialHTTP(serve(t, func(*http.Request) string { return c.text }))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Prepare(8192, 4096); err != nil {
				t.Fatal(err)
			}
			b, err := r.Read()
			if c.want == "" {
				if err != nil || small.Check(b, 8192) != nil {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// The client's own allocations would be counted as the measured path's.
func TestReadingAllocatesNothing(t *testing.T) {
	body := make([]byte, 4096)
	small.Fill(body, 0)
	text := "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4095/131072\r\nContent-Length: 4096\r\n\r\n" + string(body)
	client, server := net.Pipe()
	defer server.Close()
	r := &httpReader{conn: client, data: small, sign: newSigner("a", "b", "h"), names: [][]byte{[]byte("/b/x")}, buf: make([]byte, headRoom+4096)}
	defer r.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		request := make([]byte, 4096)
		answer := []byte(text)
		for {
			if _, err := server.Read(request); err != nil {
				return
			}
			if _, err := server.Write(answer); err != nil {
				return
			}
		}
	}()
	var failed error
	if n := testing.AllocsPerRun(200, func() {
		if err := r.Prepare(0, 4096); err != nil {
			failed = err
		}
		if _, err := r.Read(); err != nil {
			failed = err
		}
	}); n >= 1 || failed != nil {
		t.Errorf("%v allocations a read, %v", n, failed)
	}
	r.Close()
	<-done
}

func TestReadsOfARealServer(t *testing.T) {
	srv := httptest.NewServer(&Origin{Data: small, Bucket: "b"})
	defer srv.Close()
	r, err := DialHTTP(HTTPOptions{Network: "tcp", Address: srv.Listener.Addr().String(), Bucket: "b", Data: small, MaxBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for at := int64(0); at < small.Size; at += 64 << 10 {
		if err := r.Prepare(at, 64<<10); err != nil {
			t.Fatal(err)
		}
		b, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if err := small.Check(b, at); err != nil {
			t.Fatal(err)
		}
	}
	r.Close()
	if _, err := r.Read(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read after Close: %v", err)
	}
}
