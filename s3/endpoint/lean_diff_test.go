package endpoint

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
)

// diffObjects fills a backend with objects that are awkward in every way that a header or a name can be.
func diffObjects(f *hitFake) []string {
	data := make([]byte, 5000)
	for i := range data {
		data[i] = byte(i % 251)
	}
	keys := []string{"plain", "day=1/a b+c%/ü.parquet", "a//b", "../up", "x!'()*~", "flaky/k", "cold/k", "empty", "one", "noetag", "weak", "typed", "sums", "unclean", "badname", "undated", "bare"}
	f.forward = acceptAll // so that the objects stay as they are
	for _, m := range f.Mounts() {
		for _, k := range keys {
			d := data
			switch k {
			case "empty":
				d = nil
			case "one":
				d = data[:1]
			}
			f.put(m, k, d, map[string]string{"X-Amz-Meta-A": "b c"})
			s := f.mounts[m][k]
			switch k {
			case "noetag":
				s.obj.ETag, s.obj.Version = "", ""
			case "weak":
				s.obj.ETag = "W/" + s.obj.ETag
			case "bare":
				s.obj.ETag = strings.Trim(s.obj.ETag, `"`)
			case "typed":
				s.obj.Attributes = map[string]string{"Content-Type": "text/plain", "Content-Encoding": "gzip", "Server": "other", "Etag": "no", "Cache-Control": ""}
			case "sums":
				s.obj.Attributes = map[string]string{"X-Amz-Checksum-Crc32c": "AAAAAA==", "X-Amz-Checksum-Type": "FULL_OBJECT"}
			case "unclean":
				s.obj.Attributes = map[string]string{"X-Amz-Meta-A": " two\r\nlines "}
			case "badname":
				s.obj.Attributes = map[string]string{"X Amz": "v", "X-Ok": "v"}
			case "undated":
				s.obj.ModTime, s.obj.Attributes = time.Time{}, nil
			}
			f.mounts[m][k] = s
		}
	}
	return keys
}

// acceptAll is an origin that says yes.
func acceptAll(mount, _ string, r *http.Request) (*http.Response, error) {
	if mount == "sea" {
		return nil, origin.NewError(origin.ErrUnknownMount, "forward", mount, nil)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, origin.NewError(origin.ErrUnavailable, "forward", mount, err)
	}
	return answer(200, http.Header{"Etag": {fmt.Sprint(len(body))}, "Content-Type": {"text/plain"}}, ""), nil
}

// diffGen makes requests, half of them what an SDK would send, the rest with something odd about them.
type diffGen struct {
	r     *rand.Rand
	keys  []string
	etags []string
	now   time.Time
	// domain says that the doors know hosts below s3.example.
	domain bool

	tame    bool // nothing odd about this one
	virtual bool // a host names the bucket
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (g *diffGen) odd() bool { return g.once(8) }

// once is true once in n times, and never for a tame request.
func (g *diffGen) once(n int) bool { return !g.tame && g.r.IntN(n) == 0 }

func (g *diffGen) escape(s string) string {
	var b strings.Builder
	style := g.r.IntN(4)
	for i := 0; i < len(s); i++ {
		c := s[i]
		plain := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '/' || c == '.' || c == '-'
		switch {
		case plain && (style < 3 || g.r.IntN(4) > 0), style == 1 && c > ' ' && c < 0x7f && c != '%' && c != '?' && c != '#':
			b.WriteByte(c)
		case style == 2:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (g *diffGen) target() (path, query string) {
	key := pick(g.r, g.keys...)
	if g.odd() {
		key = pick(g.r, "none", "sales/a", "cold/none", strings.Repeat("k", 1025), "")
	}
	path = "/" + g.escape(key)
	if !g.virtual {
		path = pick(g.r, "/lake", "/lake", "/lake", "/pond", "/sea") + path
	}
	if g.odd() {
		path = pick(g.r, path+"%", path+"%4", path+"%zz", path+"%ff", "//x", "/", "/lake", path+"#f", path+";v", "/lake%2F"+g.escape(key), strings.Replace(path, "lake", "l%61ke", 1))
	}
	query = pick(g.r, "", "", "?x-id=GetObject", "?x-id=GetObject", "?")
	if g.odd() {
		query = pick(g.r, "?versionId=1", "?x-id=Other", "?x-id=Get%4Fbject", "?x-id=GetObject&x-id=GetObject", "?&x-id=GetObject&", "?acl", "?X-Amz-Checksum-Mode=ENABLED", "?x-id",
			"?partNumber=1", "?X-Amz-Expires=5", "?list-type=2", "?a=%", "?response-content-type=a+b", "?X-Amz-Security-Token=a&x-id=GetObject", "?x-id=GetObject?")
	}
	return path, query
}

func (g *diffGen) rangeValue() string {
	n := g.r.IntN(5200)
	v := pick(g.r, fmt.Sprintf("bytes=%d-%d", n, n+g.r.IntN(2000)), fmt.Sprintf("bytes=%d-", n), fmt.Sprintf("bytes=-%d", n), "bytes=0-9223372036854775806", "bytes=-49152")
	if g.odd() {
		v = pick(g.r, "bytes=5-2", "bytes=0-1,3-4", "BYTES=1-2", "bytes = 1-2", "bytes=", "bytes=-0", "bytes=9999-", "lines=1-2", "bytes=99999999999999999999-", "", "bytes=1-\t", "bytes=+1-2")
	}
	return v
}

// request makes one, as bytes. closing says that the connection may end with it.
func (g *diffGen) request() (raw []byte, method string, closing bool) {
	g.tame = g.r.IntN(5) < 2
	host := pick(g.r, "localhost:9000", "localhost:9000", "lake.s3.example", "LAKE.S3.example:80", "[::1]:9000")
	g.virtual = g.domain && strings.Contains(host, "example")
	method = "GET"
	if g.once(4) {
		method = pick(g.r, "HEAD", "PUT", "DELETE", "POST")
	}
	path, query := g.target()
	h := [][2]string{{"Host", host}}
	add := func(name, value string) { h = append(h, [2]string{name, value}) }
	if g.r.IntN(5) > 0 {
		add("Range", g.rangeValue())
	}
	if g.r.IntN(6) == 0 {
		tag := pick(g.r, pick(g.r, g.etags...), `"other"`)
		add("If-Match", pick(g.r, tag, strings.Trim(tag, `"`), tag, "W/"+tag, "*", tag+", \"b\"", `"*"`, "", "a b"))
	}
	for _, n := range []string{"User-Agent", "Accept-Encoding", "Amz-Sdk-Request", "Amz-Sdk-Invocation-Id", "Traceparent", "Accept", "X-Forwarded-For"} {
		if g.r.IntN(2) == 0 {
			add(n, pick(g.r, "identity", "attempt=1;  max=3", "a\tb", "*/*"))
		}
	}
	if g.r.IntN(2) == 0 {
		add("X-Amz-Checksum-Mode", pick(g.r, "ENABLED", "ENABLED", "ENABLED", "enabled", "OFF"))
	}
	if g.r.IntN(4) == 0 {
		add("X-Amz-Api-Version", pick(g.r, "2006-03-01", "2006-03-01", "2006-03-01", "2030-01-01"))
	}
	if g.odd() {
		add(pick(g.r, "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Cache-Control", "X-Unheard-Of", "X-Amz-Expected-Bucket-Owner", "Via", "Te", "Origin", strings.Repeat("X", 70)),
			pick(g.r, "*", "Thu, 29 Feb 2024 12:34:56 GMT", "Thu, 29 Feb 2024 12:34:57 GMT", "ü", pick(g.r, g.etags...)))
	}
	if len(h) > 1 && g.odd() {
		dup := pick(g.r, h[1:]...)
		add(dup[0], pick(g.r, dup[1], "bytes=0-1"))
	}
	body := ""
	switch {
	case method == "PUT":
		body = strings.Repeat("b", g.r.IntN(3000))
		add("Content-Length", fmt.Sprint(len(body)))
	case g.odd():
		add("Content-Length", "0")
	case g.odd():
		add("Connection", pick(g.r, "keep-alive", "Keep-Alive"))
	case g.odd():
		body = "stray"
		add("Content-Length", "5")
	}
	h = g.sign(method, path, query, h)
	g.r.Shuffle(len(h)-1, func(i, j int) { h[i+1], h[j+1] = h[j+1], h[i+1] })
	raw, closing = g.spell(method, path+query, h, body)
	_, err := url.ParseRequestURI(path)
	return raw, method, closing || err != nil
}

// sign adds a signature, sometimes one with a fault.
func (g *diffGen) sign(method, path, query string, h [][2]string) [][2]string {
	if g.odd() {
		return h
	}
	when := g.now
	if g.odd() {
		when = when.Add(pick(g.r, -16*time.Minute, 16*time.Minute, -24*time.Hour, time.Minute))
	}
	h = append(h, [2]string{"X-Amz-Date", when.Format(amzDateLayout)}, [2]string{"X-Amz-Content-Sha256", pick(g.r, unsignedPayload, unsignedPayload, emptySHA256)})
	if g.odd() {
		h = append(h, [2]string{"X-Amz-Security-Token", "t"})
	}
	r := &http.Request{Method: method, Header: http.Header{}}
	names := []string{"host"}
	for _, l := range h {
		if name := http.CanonicalHeaderKey(l[0]); name == "Host" {
			r.Host = l[1]
		} else {
			r.Header[name] = append(r.Header[name], strings.Trim(l[1], " \t"))
			if strings.HasPrefix(name, "X-Amz-") || g.r.IntN(2) == 0 {
				names = append(names, strings.ToLower(name))
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if g.odd() {
		names = pick(g.r, names[1:], append(names, "x-none"), []string{"HOST"}, []string{"host"}, append(names, "content-length", "transfer-encoding"))
	}
	q, _ := parseQuery(strings.TrimPrefix(query, "?"))
	signedPath := path
	if decoded, ok := unescape(path, false); ok && g.r.IntN(4) > 0 {
		signedPath = string(appendEscaped(nil, decoded, true))
	}
	auth := authorization(r, signedPath, q, strings.Join(names, ";"))
	if g.odd() {
		auth = pick(g.r, strings.Replace(auth, testKey, "NOBODY", 1), strings.Replace(auth, testKey, testKey+"/x", 1), strings.Replace(auth, "us-east-1", "eu-west-1", 1), auth+"0", auth[:len(auth)-1]+"x",
			strings.ReplaceAll(auth, ", ", ","), strings.ReplaceAll(auth, ", ", ",\t "), auth+", Extra=1", strings.Replace(auth, "s3/aws4", "ec2/aws4", 1), strings.ToUpper(auth), "AWS a:b", "", auth[:40])
	}
	return append(h, [2]string{"Authorization", auth})
}

// spell writes a request, sometimes not as one should.
func (g *diffGen) spell(method, target string, h [][2]string, body string) (raw []byte, closing bool) {
	version, eol := "HTTP/1.1", "\r\n"
	if g.once(64) {
		closing = true
		switch g.r.IntN(9) {
		case 0:
			version = pick(g.r, "HTTP/1.0", "HTTP/2.0", "http/1.1", "HTTP/1.1 ")
		case 1:
			eol = "\n"
		case 2:
			h = append(h, [2]string{"Connection", "close"})
		case 3:
			h = h[1:] // no host
		case 4:
			h = append(h, [2]string{pick(g.r, "Bad Name", "", "N\x01", "Host", " Folded"), "x"})
		case 5:
			h = append(h, [2]string{"X-Forwarded-For", pick(g.r, "a\x00b", "a\rb", "\x7f")})
		case 6:
			target = pick(g.r, "http://localhost"+target, "*", "lake/plain", target+" x", target+"\x80")
		case 7:
			h = append(h, [2]string{"Content-Length", pick(g.r, "x", "-1", "+5", "99999999999999999999")})
		case 8:
			h[0][1] = pick(g.r, "", "a b", "a/b", "a#b", "h^")
		}
	}
	var b bytes.Buffer
	b.WriteString(method + " " + target + " " + version + eol)
	for _, l := range h {
		name := pick(g.r, l[0], l[0], strings.ToLower(l[0]), strings.ToUpper(l[0]))
		b.WriteString(name + pick(g.r, ": ", ": ", ":", ":  ", ":\t") + l[1] + pick(g.r, "", "", " ") + eol)
	}
	b.WriteString(eol + body)
	return b.Bytes(), closing
}

var requestTime = regexp.MustCompile(`<(RequestId|ServerTime|HeadersNotSigned)>[^<]*<|current time|server's time \([^)]*\)`)

// reply is what a client saw of an answer.
type reply struct {
	status int
	header http.Header
	body   string
	err    string
}

func (r reply) String() string { return fmt.Sprintf("%d %v %q %s", r.status, r.header, r.body, r.err) }

func readReply(br *bufio.Reader, method string) reply {
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		if errors.Is(err, syscall.ECONNRESET) {
			return reply{err: "reset"}
		}
		return reply{err: "no answer"}
	}
	body, err := io.ReadAll(resp.Body)
	resp.Header.Del("Date")
	if id := resp.Header.Get("X-Amz-Request-Id"); id != "" && len(id) != 16 {
		return reply{err: "request id " + id}
	}
	resp.Header.Del("X-Amz-Request-Id")
	text := requestTime.ReplaceAllString(string(body), "")
	if err != nil {
		return reply{err: err.Error()}
	}
	if resp.Close {
		text += " and closes"
	}
	resp.Header.Del("Content-Length") // of errors that tell a time; bodies are compared
	return reply{status: resp.StatusCode, header: resp.Header, body: text}
}

// side is one of the two doors that are compared.
type side struct {
	backend *hitFake
	handler *Handler
	door    *Door
	addr    string
	conn    net.Conn
	br      *bufio.Reader
}

func (s *side) dial(t *testing.T) {
	if s.conn != nil {
		s.conn.Close()
	}
	var err error
	if s.conn, err = net.Dial("tcp", s.addr); err != nil {
		t.Fatal(err)
	}
	s.conn.SetDeadline(time.Now().Add(30 * time.Second))
	s.br = bufio.NewReader(s.conn)
}

// send writes bytes in pieces that each leave as a segment of their own, where the kernel is quick enough.
func (s *side) send(raw []byte, cuts []int) {
	at := 0
	for _, c := range append(cuts, len(raw)) {
		if c > at {
			if _, err := s.conn.Write(raw[at:c]); err != nil {
				return // it was answered and closed meanwhile; the answers are compared
			}
			at = c
		}
	}
}

func newSides(t *testing.T, o Options) (sides [2]*side, keys []string) {
	for i := range sides {
		f := newHitFake("lake", "pond")
		keys = diffObjects(f)
		o.Backend = f
		h := newHandler(t, o)
		h.born = fakeTime
		d, addr := startDoor(t, DoorOptions{Handler: h, General: i == 1})
		sides[i] = &side{backend: f, handler: h, door: d, addr: addr}
		t.Cleanup(func() {
			if sides[i].conn != nil {
				sides[i].conn.Close()
			}
		})
	}
	return sides, keys
}

func diffOptions() map[string]Options {
	creds := []Credential{{AccessKeyID: testKey, SecretAccessKey: testSecret}}
	narrow := []Credential{{AccessKeyID: testKey, SecretAccessKey: testSecret, Mounts: []string{"lake/day=1", "lake/plain", "pond"}}}
	return map[string]Options{"open": {}, "signed": {Credentials: creds, Region: "us-east-1"}, "granted": {Credentials: narrow, Domain: "s3.example"}}
}

// TestLeanSaysTheSame sends the same requests to a door with the lean way and to one without: clients and backends must not be able to tell.
// ALIO_STRESS=<n> sends n times as many.
func TestLeanSaysTheSame(t *testing.T) {
	requests := 700
	if n, err := strconv.Atoi(os.Getenv("ALIO_STRESS")); err == nil {
		requests *= n
	}
	for name, o := range diffOptions() {
		t.Run(name, func(t *testing.T) {
			r := seeded(t)
			sides, keys := newSides(t, o)
			g := &diffGen{r: r, keys: keys, now: time.Now().UTC(), domain: o.Domain != ""}
			for _, s := range sides[0].backend.mounts["lake"] {
				g.etags = append(g.etags, s.obj.ETag)
			}
			slices.Sort(g.etags)
			for sent := 0; sent < requests; {
				sent += compareBatch(t, g, sides)
			}
			checkSides(t, sides)
		})
	}
}

// compareBatch sends one request, or several at once, on the connections that there are.
func compareBatch(t *testing.T, g *diffGen, sides [2]*side) (sent int) {
	var raw []byte
	var methods []string
	var closing bool
	for range pick(g.r, 1, 1, 2, 6, 12) {
		one, method, ends := g.request()
		if ends && len(methods) > 0 {
			break // bytes behind a request that ends the connection make it end in a reset
		}
		raw, methods, closing = append(raw, one...), append(methods, method), closing || ends
		if ends {
			break
		}
	}
	var cuts []int
	for range pick(g.r, 0, 0, 1, 3) {
		cuts = append(cuts, g.r.IntN(len(raw)))
	}
	slices.Sort(cuts)
	var got [2][]reply
	for i, s := range sides {
		if s.conn == nil || closing {
			s.dial(t)
		}
		s.send(raw, cuts)
		for _, m := range methods {
			got[i] = append(got[i], readReply(s.br, m))
		}
	}
	for i := range methods {
		a, b := got[0][i], got[1][i]
		if closing && (strings.Contains(a.err, "reset") || strings.Contains(b.err, "reset")) {
			break // closed before it had read all: the kernel may then drop the answer
		}
		if a.String() != b.String() {
			t.Fatalf("request %d of\n%.3000s\nlean:    %s\ngeneral: %s", i+1, raw, a, b)
		}
		if a.err != "" || strings.HasSuffix(a.body, "and closes") {
			closing = true
			break
		}
	}
	if closing {
		for _, s := range sides {
			s.conn.Close()
			s.conn = nil
		}
	}
	return len(methods)
}

// checkSides compares what reached the backends, and looks whether both ways were taken at all.
func checkSides(t *testing.T, sides [2]*side) {
	var forwarded [2][]string
	for i, s := range sides {
		if err := s.door.Shutdown(t.Context()); err != nil { // so that what follows an answer is done
			t.Fatal(err)
		}
		for _, r := range s.backend.requests() {
			forwarded[i] = append(forwarded[i], r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery+" "+fmt.Sprint(r.Header))
		}
	}
	if !slices.Equal(forwarded[0], forwarded[1]) {
		t.Errorf("what was forwarded differs:\n%.3000q\n%.3000q", forwarded[0], forwarded[1])
	}
	if a, b := sides[0].backend.reads, sides[1].backend.reads; !slices.Equal(a, b) {
		t.Errorf("what was read differs:\n%.3000q\n%.3000q", a, b)
	}
	for o, n := range leanNames {
		lean, general := counted(sides[0].handler.metrics.lean[o]), counted(sides[1].handler.metrics.lean[o])
		t.Logf("%s: %v", n, lean)
		if general != 0 || lean < 5 && (o != leanRefused || !sides[0].handler.auth.Load().open) {
			t.Errorf("%s: %v, without the lean way %v", n, lean, general)
		}
	}
	for _, code := range []int{200, 206, 404, 412, 416} {
		lean, general := counted(sides[0].handler.metrics.requests[opGet][codeOf(code)]), counted(sides[1].handler.metrics.requests[opGet][codeOf(code)])
		if lean != general {
			t.Errorf("GETs answered %d: %v, without the lean way %v", code, lean, general)
		}
	}
	if a, b := counted(sides[0].handler.metrics.sent), counted(sides[1].handler.metrics.sent); a != b {
		t.Errorf("sent %v bytes, without the lean way %v", a, b)
	}
	if n := sides[0].backend.open.Load(); n != 0 {
		t.Errorf("%d hits were not closed", n)
	}
}
