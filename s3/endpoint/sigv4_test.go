package endpoint

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exampleTime is the day of all of AWS's published examples.
var exampleTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

// at runs f in a bubble whose clock stands at a moment after 2000.
func at(t *testing.T, when time.Time, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		<-time.NewTimer(time.Until(when)).C
		f(t)
	})
}

type vector struct {
	name, method, host, target, signed, signature string
	header                                        []string
	body                                          string
}

const exampleScope = testKey + "/20130524/us-east-1/s3/aws4_request"

// vectors are the examples of "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk" and, for
// the last, of "… in Multiple Chunks", in the S3 API reference.
var vectors = []vector{
	{"GET Object", "GET", "examplebucket.s3.amazonaws.com", "/test.txt", "host;range;x-amz-content-sha256;x-amz-date",
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		[]string{"Range", "bytes=0-9", "X-Amz-Content-Sha256", emptySHA256, "X-Amz-Date", "20130524T000000Z"}, ""},
	{"PUT Object", "PUT", "examplebucket.s3.amazonaws.com", "/test$file.text", "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		[]string{"Date", "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Date", "20130524T000000Z", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY",
			"X-Amz-Content-Sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"}, "Welcome to Amazon S3."},
	{"GET Bucket Lifecycle", "GET", "examplebucket.s3.amazonaws.com", "/?lifecycle", "host;x-amz-content-sha256;x-amz-date",
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		[]string{"X-Amz-Content-Sha256", emptySHA256, "X-Amz-Date", "20130524T000000Z"}, ""},
	{"List Objects", "GET", "examplebucket.s3.amazonaws.com", "/?max-keys=2&prefix=J", "host;x-amz-content-sha256;x-amz-date",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		[]string{"X-Amz-Content-Sha256", emptySHA256, "X-Amz-Date", "20130524T000000Z"}, ""},
}

func (v *vector) request() *http.Request {
	r := httptest.NewRequest(v.method, v.target, strings.NewReader(v.body))
	r.Host = v.host
	for i := 0; i < len(v.header); i += 2 {
		r.Header.Set(v.header[i], v.header[i+1])
	}
	r.Header.Set("Authorization", algorithm+" Credential="+exampleScope+",SignedHeaders="+v.signed+",Signature="+v.signature)
	return r
}

func exampleHandler(t testing.TB, f *fake) *Handler {
	o := signedOptions(f)
	o.Domain = "s3.amazonaws.com"
	o.Registerer = prometheus.NewRegistry()
	return newHandler(t, o)
}

func TestPublishedExamples(t *testing.T) {
	at(t, exampleTime, func(t *testing.T) {
		f := newFake("examplebucket")
		f.put("examplebucket", "test.txt", []byte("0123456789abcdef"), nil)
		h := exampleHandler(t, f)
		for _, v := range vectors {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, v.request())
			if w.Code/100 != 2 {
				t.Errorf("%s: %d %s", v.name, w.Code, w.Body)
			}
			// Every part of the request is covered.
			for _, change := range []func(r *http.Request){
				func(r *http.Request) { r.Method = "HEAD" },
				func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "/", "/x", 1) },
				func(r *http.Request) { r.RequestURI += "&a=b" },
				func(r *http.Request) { r.Host = "other.s3.amazonaws.com" },
				func(r *http.Request) {
					r.Header.Set(v.header[0], strings.Replace(v.header[1], "0", "1", 1))
					r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
				},
			} {
				r := v.request()
				change(r)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusForbidden {
					t.Errorf("%s, changed: %d", v.name, w.Code)
				}
			}
		}
		if got, ok := f.get("examplebucket", "test$file.text"); !ok || string(got) != "Welcome to Amazon S3." {
			t.Errorf("PUT stored %q", got)
		}
	})
}

func TestPublishedPresignedExample(t *testing.T) {
	const url = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
		"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	for _, c := range []struct {
		after  time.Duration
		status int
		text   string
	}{{-16 * time.Minute, 403, "not yet valid"}, {-14 * time.Minute, 200, ""}, {24 * time.Hour, 200, ""}, {24*time.Hour + time.Second, 403, "Request has expired"}} {
		at(t, exampleTime.Add(c.after), func(t *testing.T) {
			f := newFake("examplebucket")
			f.put("examplebucket", "test.txt", []byte("x"), nil)
			if w := do(exampleHandler(t, f), "GET", url, "Host", "examplebucket.s3.amazonaws.com"); w.Code != c.status || !strings.Contains(w.Body.String(), c.text) {
				t.Errorf("%v: %d %s", c.after, w.Code, w.Body)
			}
		})
	}
}

// TestRejectedSignatures: every way to be wrong has its code and its count.
func TestRejectedSignatures(t *testing.T) {
	at(t, exampleTime.Add(14*time.Minute), func(t *testing.T) {
		f := newFake("examplebucket")
		h := exampleHandler(t, f)
		auth := func(old, new string) func(r *http.Request) {
			return func(r *http.Request) {
				r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
			}
		}
		set := func(name, value string) func(r *http.Request) {
			return func(r *http.Request) {
				if r.Header.Set(name, value); value == "" {
					r.Header.Del(name)
				}
			}
		}
		for _, c := range []struct {
			name, code, reason string
			change             func(r *http.Request)
			want               string
		}{
			{"none", "AccessDenied", "missing", set("Authorization", ""), "access keys"},
			{"signature version 2", "InvalidRequest", "malformed", set("Authorization", "AWS AKID:c2ln"), "AWS4-HMAC-SHA256"},
			{"signature version 4a", "InvalidRequest", "malformed", auth("HMAC-SHA256", "ECDSA-P256-SHA256"), "AWS4-HMAC-SHA256"},
			{"short credential", "AuthorizationHeaderMalformed", "malformed", auth("/us-east-1", ""), "Credential must be"},
			{"other service", "AuthorizationHeaderMalformed", "malformed", auth("/s3/", "/ec2/"), "aws4_request"},
			{"no signature", "AuthorizationHeaderMalformed", "malformed", auth("Signature=", "Signatur="), "64 lower-case"},
			{"no signed headers", "AuthorizationHeaderMalformed", "malformed", auth("SignedHeaders=", "Signed="), "SignedHeaders"},
			{"other day", "AuthorizationHeaderMalformed", "malformed", auth("20130524", "20130525"), "20130525"},
			{"bad date", "AuthorizationHeaderMalformed", "malformed", set("X-Amz-Date", "yesterday"), "ISO 8601"},
			{"no date", "AccessDenied", "malformed", set("X-Amz-Date", ""), "Date"},
			{"no payload hash", "InvalidRequest", "malformed", set("X-Amz-Content-Sha256", ""), "x-amz-content-sha256"},
			{"bad payload hash", "InvalidArgument", "malformed", set("X-Amz-Content-Sha256", "abc"), "UNSIGNED-PAYLOAD"},
			{"unknown key", "InvalidAccessKeyId", "unknown_key", auth(testKey, "NOBODY"), "NOBODY"},
			{"other region", "SignatureDoesNotMatch", "mismatch", auth("us-east-1", "us-west-1"), "Host header"},
			{"wrong signature", "SignatureDoesNotMatch", "mismatch", auth("Signature=f0", "Signature=f1"), testKey},
			{"host not signed", "AccessDenied", "unsigned_header", auth("host;", ""), "<HeadersNotSigned>host<"},
			{"x-amz not signed", "AccessDenied", "unsigned_header", set("X-Amz-Acl", "public-read"), "<HeadersNotSigned>x-amz-acl<"},
			{"skewed", "RequestTimeTooSkewed", "skewed", set("X-Amz-Date", "20130524T003000Z"), "2013-05-24T00:30:00Z"},
			{"two ways", "InvalidArgument", "malformed", func(r *http.Request) { r.RequestURI += "?X-Amz-Algorithm=AWS4-HMAC-SHA256" }, "Only one"},
		} {
			before := counted(h.metrics.rejected[c.reason])
			r := vectors[0].request()
			c.change(r)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if !strings.Contains(w.Body.String(), "<Code>"+c.code+"</Code>") || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
			}
			if n := counted(h.metrics.rejected[c.reason]) - before; n != 1 {
				t.Errorf("%s: counted %v times as %s", c.name, n, c.reason)
			}
			for _, secret := range []string{testSecret, vectors[0].signature} {
				if strings.Contains(w.Body.String(), secret) {
					t.Errorf("%s: the answer tells a secret", c.name)
				}
			}
		}
		if len(f.requests()) != 0 {
			t.Error("a rejected request went on")
		}
	})
}

func TestSkewIsFifteenMinutes(t *testing.T) {
	for _, d := range []time.Duration{-15*time.Minute - time.Second, -15 * time.Minute, 15 * time.Minute, 15*time.Minute + time.Second} {
		at(t, exampleTime.Add(d), func(t *testing.T) {
			f := newFake("examplebucket")
			f.put("examplebucket", "test.txt", []byte("0123456789"), nil)
			w := httptest.NewRecorder()
			exampleHandler(t, f).ServeHTTP(w, vectors[0].request())
			if ok := w.Code == 206; ok != (d.Abs() <= maxSkew) {
				t.Errorf("%v: %d %s", d, w.Code, w.Body)
			}
		})
	}
}

// TestCanonicalForms signs what is awkward by the book, with strings written out by hand.
func TestCanonicalForms(t *testing.T) {
	r := httptest.NewRequest("GET", "/b/a%2fb%20c?b=2&b=1&a=x%20y&acl&z=a+b&z=%2B&X-Amz-Signature=0", nil)
	r.Host = "h:1"
	r.Header["X-Amz-Meta-A"] = []string{"  one   two ", "three\t four"}
	tgt, err := parseTarget(r, "")
	if err != nil || tgt.key != "a/b c" {
		t.Fatal(err, tgt)
	}
	path, _ := unescape(tgt.rawPath, false)
	s := signedRequest{headers: requestHeaders{r}, method: r.Method, path: path, query: tgt.query, sig: &signature{signedHeaders: "content-length;host;x-amz-meta-a", payloadHash: "P"}}
	const want = "GET\n/b/a/b%20c\na=x%20y&acl=&b=1&b=2&z=%2B&z=a%20b\ncontent-length:0\nhost:h:1\nx-amz-meta-a:one two,three four\n\n" +
		"content-length;host;x-amz-meta-a\nP"
	if got := string(s.appendCanonical(nil)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// authorization signs a request by its X-Amz-Date and X-Amz-Content-Sha256 headers; path is signed as it is given.
func authorization(r *http.Request, path string, q query, signed string) string {
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = exampleTime.Format(amzDateLayout)
	}
	sig := signature{signedHeaders: signed, payloadHash: r.Header.Get("X-Amz-Content-Sha256"), amzDate: date, scope: date[:8] + "/us-east-1/s3/aws4_request"}
	s := signedRequest{headers: requestHeaders{r}, method: r.Method, rawPath: path, asSent: true, query: q, sig: &sig}
	value := s.sign(newSigningKey(testSecret, date[:8], "us-east-1").take())
	return fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s", algorithm, testKey, sig.scope, signed, value[:])
}

// TestEitherPathSpelling: a client may sign the path as it sends it or as S3 canonicalises it.
func TestEitherPathSpelling(t *testing.T) {
	at(t, exampleTime, func(t *testing.T) {
		f := newFake("b")
		f.put("b", "x!/y", []byte("1"), nil)
		h := exampleHandler(t, f)
		for _, signedPath := range []string{"/b/x%21/y", "/b/x!%2fy", "/b/x!/y"} {
			r := httptest.NewRequest("GET", "/b/x!%2fy", nil)
			r.Header.Set("X-Amz-Date", "20130524T000000Z")
			r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
			r.Header.Set("Authorization", authorization(r, signedPath, nil, "host;x-amz-content-sha256;x-amz-date"))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if want := map[bool]int{true: 403, false: 200}[signedPath == "/b/x!/y"]; w.Code != want {
				t.Errorf("%s: %d %s", signedPath, w.Code, w.Body)
			}
		}
	})
}

// TestDateHeader: without x-amz-date the Date header is what was signed, and then it must have been signed.
func TestDateHeader(t *testing.T) {
	at(t, exampleTime, func(t *testing.T) {
		f := newFake("b")
		f.put("b", "k", []byte("1"), nil)
		for signed, want := range map[string]int{"date;host;x-amz-content-sha256": 200, "host;x-amz-content-sha256": 403} {
			r := httptest.NewRequest("GET", "/b/k", nil)
			r.Header.Set("Date", "Fri, 24 May 2013 00:00:00 GMT")
			r.Header.Set("X-Amz-Content-Sha256", emptySHA256)
			r.Header.Set("Authorization", authorization(r, "/b/k", nil, signed))
			if w := record(exampleHandler(t, f), r); w.Code != want {
				t.Errorf("%s: %d %s", signed, w.Code, w.Body)
			}
		}
	})
}

func TestSigningKeyCacheIsBounded(t *testing.T) {
	var c keyCache
	for i := range 3*maxKeys + 7 {
		c.put(keyID{"a", "20130524", fmt.Sprint(i)}, &macKey{key: [32]byte{byte(i)}})
		if k := c.get(keyID{"a", "20130524", fmt.Sprint(i)}); k == nil || k.key[0] != byte(i) {
			t.Fatal("a key that was just put is gone")
		}
		if len(c.keys) > maxKeys {
			t.Fatalf("%d keys", len(c.keys))
		}
	}
	at(t, exampleTime, func(t *testing.T) {
		h := exampleHandler(t, newFake("examplebucket"))
		r := vectors[0].request()
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "us-east-1", "nowhere", 1))
		h.ServeHTTP(httptest.NewRecorder(), r)
		if len(h.auth.Load().keys.keys) != 0 {
			t.Error("a signature that did not hold left a key behind")
		}
	})
}

// chunkedExample is the published upload of 65 KiB of "a" in two chunks.
func chunkedExample(trailer bool) (header []string, signed, seed string, body []byte) {
	a := strings.Repeat("a", 66560)
	sigs := []string{"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
		"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"}
	header = []string{"X-Amz-Date", "20130524T000000Z", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY", "Content-Encoding", "aws-chunked",
		"X-Amz-Decoded-Content-Length", "66560"}
	tail := "\r\n"
	if trailer {
		sigs = []string{"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"}
		header = append(header, "X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "X-Amz-Trailer", "x-amz-checksum-crc32c")
		signed = "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer"
		seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
		tail = "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
	} else {
		header = append(header, "X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
		signed = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
		seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	}
	body = fmt.Appendf(nil, "10000;chunk-signature=%s\r\n%s\r\n400;chunk-signature=%s\r\n%s\r\n0;chunk-signature=%s\r\n%s",
		sigs[0], a[:65536], sigs[1], a[65536:], sigs[2], tail)
	return header, signed, seed, body
}

func chunkedRequest(trailer bool, body []byte) *http.Request {
	header, signed, seed, _ := chunkedExample(trailer)
	r := httptest.NewRequest("PUT", "/examplebucket/chunkObject.txt", bytes.NewReader(body))
	r.Host = "s3.amazonaws.com"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.ContentLength = 66824
	r.Header.Set("Authorization", algorithm+" Credential="+exampleScope+",SignedHeaders="+signed+",Signature="+seed)
	return r
}

// TestPublishedChunkedExamples: the examples are accepted; one byte changed anywhere in the body is not, and stores nothing.
func TestPublishedChunkedExamples(t *testing.T) {
	for _, trailer := range []bool{false, true} {
		at(t, exampleTime, func(t *testing.T) {
			f := newFake("examplebucket")
			h := exampleHandler(t, f)
			_, _, _, body := chunkedExample(trailer)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, chunkedRequest(trailer, body))
			got, _ := f.get("examplebucket", "chunkObject.txt")
			if w.Code != 200 || string(got) != strings.Repeat("a", 66560) {
				t.Fatalf("trailer %v: %d %s", trailer, w.Code, w.Body)
			}
			if enc, ok := f.requests()[0].Header["Content-Encoding"]; ok {
				t.Errorf("content-encoding %q went on", enc)
			}
			delete(f.mounts["examplebucket"], "chunkObject.txt")
			for _, i := range []int{0, 4, 40, 86, 500, 65535 + 87, 65537 + 87, 65650, 66000, len(body) - 120, len(body) - 60, len(body) - 5} {
				bad := bytes.Clone(body)
				bad[i] ^= 1
				w := httptest.NewRecorder()
				h.ServeHTTP(w, chunkedRequest(trailer, bad))
				if _, ok := f.get("examplebucket", "chunkObject.txt"); ok || w.Code/100 != 4 {
					t.Errorf("trailer %v: byte %d changed: %d %s", trailer, i, w.Code, w.Body)
				}
			}
			for _, n := range []int{0, 1, 50, 65536 + 87, len(body) - 100, len(body) - 10} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, chunkedRequest(trailer, body[:n]))
				if _, ok := f.get("examplebucket", "chunkObject.txt"); ok || w.Code/100 != 4 {
					t.Errorf("trailer %v: cut at %d: %d %s", trailer, n, w.Code, w.Body)
				}
			}
		})
	}
}
