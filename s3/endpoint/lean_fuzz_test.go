package endpoint

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
)

// leanSeeds are requests of the comparison's generator and of the benchmark.
func leanSeeds() [][]byte {
	g := &diffGen{r: rand.New(rand.NewPCG(1, 2)), keys: []string{"k", "day=1/a b%"}, etags: []string{`"e"`}, now: exampleTime, domain: true}
	seeds := [][]byte{rawGET(1000, false)}
	for range 60 {
		one, _, _ := g.request()
		seeds = append(seeds, one)
	}
	return seeds
}

// FuzzLeanParse: what the lean way takes from bytes is what net/http and Handler take from them, whatever the bytes. Whoever says where a
// request ends says what net/http says.
func FuzzLeanParse(f *testing.F) {
	for i, s := range leanSeeds() {
		f.Add(s, i%2 == 0)
	}
	const domain = ".s3.example"
	closed := newAuthenticator([]Credential{{AccessKeyID: testKey, SecretAccessKey: testSecret}}, "us-east-1")
	open := newAuthenticator(nil, "")
	f.Fuzz(func(t *testing.T, raw []byte, signed bool) {
		auth := open
		if signed {
			auth = closed
		}
		var q leanRequest
		var memo keyMemo
		before := bytes.Clone(raw)
		framing := q.parse(raw, domain)
		if q.plain && framing == framed {
			g := auth.checkLean(&q, &memo, exampleTime)
			checkPlain(t, auth, &q, g, raw, domain)
		}
		if !bytes.Equal(raw, before) {
			t.Fatal("the bytes were changed")
		}
		if framing == framed {
			checkFraming(t, &q, raw)
		}
		if framing == incomplete && bytes.Contains(raw, []byte("\r\n\r\n")) {
			t.Fatal("a whole head is incomplete")
		}
	})
}

// checkFraming compares where the request ends.
func checkFraming(t *testing.T, q *leanRequest, raw []byte) {
	br := bufio.NewReaderSize(bytes.NewReader(raw), 16)
	r, err := http.ReadRequest(br)
	if err != nil {
		if q.plain {
			t.Fatalf("plain, and net/http says %v", err)
		}
		return // it answers and closes
	}
	rest, _ := io.ReadAll(br)
	if head := len(raw) - len(rest); head != q.head || r.ContentLength != q.body || len(r.TransferEncoding) > 0 {
		t.Fatalf("head %d, body %d; net/http: %d, %d %v", q.head, q.body, head, r.ContentLength, r.TransferEncoding)
	}
}

// checkPlain compares what the request asks for, and who asks.
func checkPlain(t *testing.T, auth *authenticator, q *leanRequest, g *grants, raw []byte, domain string) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatalf("net/http refuses it: %v", err)
	}
	tgt, err := parseTarget(r, domain)
	if err != nil || tgt.bucket != q.bucket || tgt.key != q.key || tgt.rawPath != q.rawPath || fmt.Sprint(tgt.query) != fmt.Sprint(q.query) {
		t.Fatalf("%v: %q, on the lean way %q", err, tgt, q.target)
	}
	if r.Method != "GET" || !r.ProtoAtLeast(1, 1) || r.Close || r.Header.Get("Expect") != "" || r.ContentLength != 0 || !objectAllowsHit(r, tgt.query, "GetObject") {
		t.Fatal("not a plain GET of an object")
	}
	if string(q.name) != tgt.bucket+"/"+tgt.key {
		t.Fatalf("name %q", q.name)
	}
	if rng := parseRange(r.Header); rng != q.rng || rng.set && rng.suffix == 0 {
		t.Fatalf("%+v, on the lean way %+v", rng, q.rng)
	}
	cond := parseConditions(r.Header)
	if cond.etag() != string(q.etag) || cond.match != "" && q.etag == nil || cond.noneMatch != "" || cond.hasModified || cond.hasUnmodified {
		t.Fatalf("%+v, on the lean way %q", cond, q.etag)
	}
	x := exchange{r: r, target: tgt}
	if x.wantsChecksums() != q.checksums {
		t.Fatalf("checksums %v, on the lean way %v", x.wantsChecksums(), q.checksums)
	}
	id, err := auth.check(r, &tgt, exampleTime)
	if g != nil && (err != nil || id.grants != g) {
		t.Fatalf("let in, and check says %v", err)
	}
	if g == nil && err == nil && q.authorization != "" && q.amzDate != "" && q.payloadHash != "" && len(q.payloadHash) == 64 && len(tgt.query) < 2 && !tgt.query.has("X-Amz-Signature") {
		t.Fatal("not let in, and check would")
	}
}
