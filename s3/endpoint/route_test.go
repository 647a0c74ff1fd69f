package endpoint

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestRouting(t *testing.T) {
	for _, c := range []struct{ host, uri, bucket, key string }{
		{"h", "/", "", ""}, {"h", "/b", "b", ""}, {"h", "/b/", "b", ""}, {"h", "/b/k", "b", "k"}, {"h", "/b//k", "b", "/k"}, {"h", "/b/a//b/", "b", "a//b/"},
		{"h", "/b/../c", "b", "../c"}, {"h", "/b/.", "b", "."}, {"h", "/b/a%2Fb", "b", "a/b"}, {"h", "/b/a%252Fb", "b", "a%2Fb"}, {"h", "/b/a+b%20c", "b", "a+b c"},
		{"h", "/b/%E2%82%AC", "b", "€"}, {"h", "/b/k?x=/y", "b", "k"}, {"h", "http://h/b/k%2F", "b", "k/"},
		{"s3.example", "/b/k", "b", "k"}, {"b.s3.example", "/k/l", "b", "k/l"}, {"B.S3.example:80", "//k", "b", "/k"}, {"a.b.s3.example", "/", "a.b", ""},
		{"xs3.example", "/b/k", "b", "k"}, {".s3.example", "/b/k", "b", "k"},
	} {
		r := httptest.NewRequest("GET", c.uri, nil)
		r.Host = c.host
		if got, err := parseTarget(r, ".s3.example"); err != nil || got.bucket != c.bucket || got.key != c.key {
			t.Errorf("%s %s: %v %+v", c.host, c.uri, err, got)
		}
	}
	for uri, code := range map[string]string{"/b/" + strings.Repeat("k", 1025): "KeyTooLongError", "/b/%F0%28": "InvalidURI", "/b/%4": "InvalidURI", "/b?a=%": "InvalidURI", "//k": "InvalidBucketName"} {
		if w := do(newHandler(t, Options{Backend: newFake("b")}), "GET", uri); w.Code != 400 || !strings.Contains(w.Body.String(), code) {
			t.Errorf("%s: %d %s", clip(uri, 20), w.Code, w.Body)
		}
	}
}

// TestVirtualHostStyle goes over a real connection.
func TestVirtualHostStyle(t *testing.T) {
	f := newFake("lake")
	f.put("lake", "a//b", []byte("v"), nil)
	h := newHandler(t, Options{Backend: f, Domain: "S3.example:9000"})
	if w := do(h, "GET", "/a//b", "Host", "lake.s3.example:1234"); w.Body.String() != "v" {
		t.Error(w.Code, w.Body)
	}
	if w := do(h, "GET", "/lake/a//b", "Host", "localhost"); w.Body.String() != "v" {
		t.Error(w.Code, w.Body)
	}
}

// TestAllowList: what is known is served from here, anything else from the origin.
func TestAllowList(t *testing.T) {
	f := newFake("lake")
	f.put("lake", "k", []byte("cached"), nil)
	h := newHandler(t, Options{Backend: f})
	for _, c := range []struct {
		target  string
		header  []string
		forward bool
	}{
		{"/lake/k", nil, false}, {"/lake/k?x-id=GetObject", nil, false}, {"/lake/k?x-id=HeadObject", nil, true}, {"/lake/k?partNumber=1", nil, true}, {"/lake/k?versionId=", nil, true},
		{"/lake/k?response-content-type=a", nil, true}, {"/lake/k?acl", nil, true}, {"/lake/k?tagging", nil, true}, {"/lake/k?attributes", nil, true}, {"/lake/k?unheard-of", nil, true},
		{"/lake/k", []string{"Traceparent", "00-1-2-01", "Amz-Sdk-Invocation-Id", "1", "Amz-Sdk-Request", "a", "User-Agent", "x", "Accept", "*/*", "X-B3-Traceid", "1"}, false},
		{"/lake/k", []string{"X-Amz-Checksum-Mode", "enabled"}, false}, {"/lake/k", []string{"X-Amz-Checksum-Mode", "OTHER"}, true},
		{"/lake/k", []string{"X-Amz-Api-Version", "2006-03-01"}, false}, {"/lake/k", []string{"X-Amz-Api-Version", "2030-01-01"}, true},
		{"/lake/k", []string{"X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"}, true}, {"/lake/k", []string{"X-Amz-Expected-Bucket-Owner", "1"}, true},
		{"/lake/k", []string{"X-Amz-Request-Payer", "requester"}, true}, {"/lake/k", []string{"If-Range", `"e"`}, true}, {"/lake/k", []string{"Cache-Control", "no-cache"}, true},
		{"/lake/k", []string{"Origin", "http://a"}, true}, {"/lake/k", []string{"X-Unheard-Of", "1"}, true},
		{"/lake", nil, false}, {"/lake?list-type=2&fetch-owner=true&x-id=ListObjectsV2", nil, false}, {"/lake?list-type=3", nil, true}, {"/lake?versions", nil, true}, {"/lake?uploads", nil, true},
		{"/lake?policy", nil, true}, {"/lake", []string{"X-Amz-Optional-Object-Attributes", "Unheard"}, true}, {"/lake?location", nil, false}, {"/lake?location&x=y", nil, true},
	} {
		before := len(f.requests())
		w := do(h, "GET", c.target, c.header...)
		if got := len(f.requests()) > before; got != c.forward || w.Code != 200 || c.forward && (w.Body.String() != "the origin's" || w.Header().Get("X-From") != "origin" || w.Header().Get("X-Hop") != "") {
			t.Errorf("%s %v: forwarded %v, %d %s %v", c.target, c.header, got, w.Code, w.Body, w.Header())
		}
	}
	if w := do(h, "HEAD", "/lake/k?partNumber=1"); w.Header().Get("X-From") != "origin" || w.Body.Len() != 0 {
		t.Error(w)
	}
}

// TestWritesNotPassedOn: 501 names the operation and the way out, and nothing reaches the origin.
func TestWritesNotPassedOn(t *testing.T) {
	f := newFake("lake")
	h := newHandler(t, Options{Backend: f})
	for _, c := range []struct{ method, target, op, header string }{
		{"POST", "/lake/k?uploads", "CreateMultipartUpload", ""}, {"PUT", "/lake/k?partNumber=1&uploadId=u", "UploadPart", ""}, {"POST", "/lake/k?uploadId=u", "CompleteMultipartUpload", ""},
		{"DELETE", "/lake/k?uploadId=u", "AbortMultipartUpload", ""}, {"PUT", "/lake/k", "CopyObject", "X-Amz-Copy-Source"}, {"PUT", "/lake/k?x-id=CopyObject", "CopyObject", "X-Amz-Copy-Source"},
		{"PUT", "/lake/k?partNumber=1&uploadId=u", "UploadPartCopy", "X-Amz-Copy-Source"}, {"POST", "/lake?delete", "DeleteObjects", ""}, {"PUT", "/lake", "CreateBucket", ""}, {"DELETE", "/lake", "DeleteBucket", ""},
		{"PUT", "/lake/k?tagging", "PutObjectTagging", ""}, {"PUT", "/lake?policy", "PutBucketPolicy", ""}, {"DELETE", "/lake/k?versionId=1", "DeleteObject of one version", ""},
		{"POST", "/lake/k?select&select-type=2", "SelectObjectContent", ""}, {"POST", "/lake", "PostObject", ""}, {"POST", "/lake/k", "POST", ""}, {"PUT", "/lake/k?newthing", "PUT with ?newthing", ""},
		{"PUT", "/", "PUT", ""}, {"GET", "/?max-buckets=3", "GET with ?max-buckets", ""}, {"GET", "/lake?session", "CreateSession", ""},
	} {
		var header []string
		if c.header != "" {
			header = []string{c.header, "/lake/other"}
		}
		w := do(h, c.method, c.target, header...)
		if body := w.Body.String(); w.Code != 501 || !strings.Contains(body, "<Code>NotImplemented<") || !strings.Contains(body, "<Operation>"+c.op+"</Operation>") || !strings.Contains(body, "origin's own endpoint") {
			t.Errorf("%s %s: %d %s", c.method, c.target, w.Code, w.Body)
		}
	}
	for _, target := range []string{"/lake/k", "/lake"} {
		if w := do(h, "PATCH", target); w.Code != 405 || w.Header().Get("Allow") == "" {
			t.Errorf("PATCH %s: %d", target, w.Code)
		}
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d reached the origin", n)
	}
}

// TestGrants: what a key does not open is 403, whatever the way to it.
func TestGrants(t *testing.T) {
	f := newFake("lake", "pond", "sea")
	for _, m := range f.Mounts() {
		for _, k := range []string{"sales/a", "sales", "salesx", "hr/a"} {
			f.put(m, k, []byte(m+k), nil)
		}
	}
	h := newHandler(t, Options{Backend: f})
	h.auth.Load().everyone = newGrants([]string{"lake/sales", "lake/ops/logs/", "pond"})
	for _, c := range []struct {
		method, target string
		allowed        bool
	}{
		{"GET", "/lake/sales/a", true}, {"GET", "/lake/sales", true}, {"GET", "/lake/salesx", false}, {"GET", "/lake/hr/a", false}, {"GET", "/lake/sales/../hr/a", false}, {"GET", "/lake/sales/%2e%2e/hr/a", false},
		{"HEAD", "/lake/hr/a", false}, {"PUT", "/lake/hr/a", false}, {"DELETE", "/lake/hr/a", false}, {"DELETE", "/lake/sales/zz", true}, {"GET", "/lake/hr/a?versionId=1", false}, {"GET", "/lake/sales/a?versionId=1", true},
		{"GET", "/lake?prefix=sales/", true}, {"GET", "/lake?list-type=2&prefix=sales/x", true}, {"GET", "/lake?prefix=sales", false}, {"GET", "/lake", false}, {"GET", "/lake?prefix=sales/../hr", false},
		{"GET", "/lake?prefix=ops/logs/", true}, {"GET", "/lake?prefix=ops/", false}, {"GET", "/lake?versions&prefix=sales/", false}, {"GET", "/lake?policy", false}, {"HEAD", "/lake", true}, {"GET", "/lake?location", true},
		{"GET", "/pond/hr/a", true}, {"GET", "/pond", true}, {"GET", "/pond?policy", true}, {"GET", "/sea/sales/a", false}, {"GET", "/sea", false}, {"HEAD", "/sea", false}, {"GET", "/unknown", false},
	} {
		before := len(f.requests())
		w := do(h, c.method, c.target)
		if (w.Code == http.StatusForbidden) == c.allowed || c.allowed && w.Code/100 != 2 || !c.allowed && len(f.requests()) != before {
			t.Errorf("%s %s: %d %s", c.method, c.target, w.Code, w.Body)
		}
	}
	if w := do(h, "GET", "/lake"); !strings.Contains(w.Body.String(), "lake/sales/, lake/ops/logs/") {
		t.Error(w.Body)
	}
	if w := do(h, "GET", "/"); strings.Contains(w.Body.String(), "sea") || !strings.Contains(w.Body.String(), "<Name>pond<") {
		t.Error(w.Body)
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{Domain: "http://x", Credentials: []Credential{{AccessKeyID: "a"}, {AccessKeyID: "a", SecretAccessKey: "s", Mounts: []string{"", "/x", "m//x"}}, {SecretAccessKey: "s"}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Backend", "http://x", `"a" is given twice`, "no secret", `entry ""`, `entry "/x"`, `entry "m//x"`, "credential 3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in: %v", want, err)
		}
	}
	reg := prometheus.NewRegistry()
	newHandler(t, Options{Backend: newFake(), Registerer: reg})
	if _, err := New(Options{Backend: newFake(), Registerer: reg}); err == nil {
		t.Error("two handlers share a registerer")
	}
}

func TestMetrics(t *testing.T) {
	f := newFake("lake")
	f.put("lake", "k", []byte("0123456789"), nil)
	reg := prometheus.NewRegistry()
	h := newHandler(t, Options{Backend: f, Registerer: reg})
	series := func() int {
		n := 0
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, fam := range families {
			n += len(fam.Metric)
		}
		return n
	}
	start := series()
	do(h, "GET", "/lake/k")
	do(h, "GET", "/lake/k", "Range", "bytes=0-3")
	do(h, "HEAD", "/lake/k")
	do(h, "GET", "/lake")
	do(h, "GET", "/lake/none")
	do(h, "DELETE", "/lake/none")
	do(h, "GET", "/lake/k?acl")
	do(h, "BREW", "/lake/k")
	for _, c := range []struct {
		op     op
		status int
	}{{opGet, 200}, {opGet, 206}, {opHead, 200}, {opList, 200}, {opGet, 404}, {opDelete, 204}, {opForward, 200}, {opOther, 405}} {
		if n := counted(h.metrics.requests[c.op][codeOf(c.status)]); n != 1 {
			t.Errorf("%s %d: %v", opNames[c.op], c.status, n)
		}
	}
	if n := counted(h.metrics.sent); n != 14+12 {
		t.Errorf("sent %v", n)
	}
	if n := counted(h.metrics.inFlight); n != 0 {
		t.Errorf("in flight %v", n)
	}
	if end := series(); end != start {
		t.Errorf("%d series became %d", start, end)
	}
	if codeOf(-1) != codeOther || codeOf(999) != codeOther || codeOf(418) != codeOther {
		t.Error("an unknown status has a label of its own")
	}
}
