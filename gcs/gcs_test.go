package gcs

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alio-lake/alio/origin"
)

// TestRefusals: an answer that says no has the right kind, names bucket, path and request, and says what to do about it.
func TestRefusals(t *testing.T) {
	xmlSays := func(code, message string) string {
		return "<?xml version='1.0' encoding='UTF-8'?><Error><Code>" + code + "</Code><Message>" + message + "</Message></Error>"
	}
	jsonSays := func(reason, message string) string {
		return fmt.Sprintf(`{"error":{"code":400,"message":%q,"errors":[{"message":"x","domain":"global","reason":%q}]}}`, message, reason)
	}
	for _, c := range []struct {
		status    int
		xml, json string
		kind      error
		says      string
	}{
		{404, xmlSays("NoSuchBucket", "The specified bucket does not exist."), jsonSays("notFound", "The specified bucket does not exist."), origin.ErrNotFound, "check the name in the mount"},
		{404, xmlSays("NoSuchKey", "The specified key does not exist."), jsonSays("notFound", "No such object: lake/x"), origin.ErrNotFound, "HTTP 404"},
		{401, xmlSays("AuthenticationRequired", "Authentication required."), jsonSays("authError", "Invalid Credentials"), origin.ErrDenied, "renew the mount's credentials"},
		{403, xmlSays("AccessDenied", "Access denied."), jsonSays("forbidden", "a@b does not have storage.objects.get access"), origin.ErrDenied, "roles/storage.objectViewer"},
		{403, xmlSays("UserProjectMissing", "Bucket is requester pays bucket but no user project provided."), jsonSays("required", "Bucket is requester pays bucket but no user project provided."), origin.ErrDenied, "user_project"},
		{403, "", jsonSays("rateLimitExceeded", "slow down"), nil, ""},
		{429, xmlSays("SlowDown", "x"), jsonSays("rateLimitExceeded", "x"), origin.ErrThrottled, "429"},
		{503, "", "", origin.ErrThrottled, "503"},
		{500, xmlSays("InternalError", "x"), jsonSays("backendError", "x"), origin.ErrUnavailable, "500"},
		{408, "", "", origin.ErrUnavailable, "408"},
		{412, "", "", origin.ErrVersionChanged, "412"},
		{400, xmlSays("ResourceIsEncryptedWithCustomerEncryptionKey", "x"), jsonSays("resourceIsEncryptedWithCustomerEncryptionKey", "x"), origin.ErrUnsupported, "Cloud KMS"},
		{400, xmlSays("InvalidArgument", "x"), jsonSays("invalid", "x"), origin.ErrInvalid, "400"},
		{301, "", "", origin.ErrInvalid, "301"},
	} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			if strings.HasPrefix(r.URL.Path, "/storage/v1/") {
				_, _ = io.WriteString(w, c.json)
			} else {
				_, _ = io.WriteString(w, c.xml)
			}
		})
		o := at(t, server.URL, func(o *Options) { o.Anonymous, o.HTTPClient = true, &http.Client{} })
		o.opts.Anonymous = false // the remedies of a mount with credentials
		_, statErr := o.Stat(t.Context(), "x")
		_, readErr := o.Read(t.Context(), origin.ReadRequest{Path: "x", Length: 1})
		if c.kind == nil {
			c.kind, c.says, readErr = origin.ErrThrottled, "rateLimitExceeded", statErr // told by JSON only
		}
		for op, err := range map[string]error{"stat": statErr, "read": readErr} {
			if origin.Kind(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) || !strings.Contains(fmt.Sprint(err), `bucket "lake" at `+server.URL) {
				t.Errorf("HTTP %d %q, %s: %v; want one that is %q and says %q", c.status, c.json, op, err, c.kind, c.says)
			}
		}
		o.http.CloseIdleConnections()
	}
}

// TestCustomerKeysAreRefused: an object that only its owner can decrypt is not served, and its listing has no version to cache it by.
func TestCustomerKeysAreRefused(t *testing.T) {
	const item = `{"name":"x","bucket":"lake","generation":"7","size":"100","updated":"2024-05-01T12:00:00Z","customerEncryption":{"encryptionAlgorithm":"AES256","keySha256":"abc="}}`
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/o") {
			_, _ = io.WriteString(w, `{"items":[`+item+`]}`)
			return
		}
		_, _ = io.WriteString(w, item)
	})
	o := at(t, server.URL)
	if _, err := o.Stat(t.Context(), "x"); origin.Kind(err) != origin.ErrUnsupported || !strings.Contains(err.Error(), "Cloud KMS") {
		t.Errorf("stat: %v", err)
	}
	if l, err := o.List(t.Context(), origin.ListRequest{}); err != nil || len(l.Entries) != 1 || l.Entries[0].Version != "" || l.Entries[0].Parts != nil {
		t.Errorf("list: %+v, %v", l, err)
	}
}

// TestRangesThatAreRefused: a 416 tells the size, or a Stat does.
func TestRangesThatAreRefused(t *testing.T) {
	for name, contentRange := range map[string]string{"told": "bytes */10", "not told": ""} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/storage/v1/") {
				metadata(w, 7, 10)
				return
			}
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			w.WriteHeader(416)
		})
		_, err := at(t, server.URL).Read(t.Context(), origin.ReadRequest{Path: "x", Offset: 20, Length: 1})
		var e *origin.Error
		if !errors.As(err, &e) || e.Kind != origin.ErrInvalidRange || e.Size != 10 {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := at(t, server.URL).Read(t.Context(), old); origin.Kind(err) != origin.ErrVersionChanged {
			t.Errorf("%s, of another version: %v", name, err)
		}
	}
}

// TestPathsThatAreRefused: what Cloud Storage cannot name is refused before anything is sent.
func TestPathsThatAreRefused(t *testing.T) {
	var requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { requests.Add(1) })
	o := at(t, server.URL)
	for path, says := range map[string]string{"": "empty", ".": `"."`, "..": `".."`, "/lead": "slash", "a\nb": "line feed", "a\rb": "carriage", "\xff": "UTF-8",
		strings.Repeat("x", 1025): "1024"} {
		_, err1 := o.Stat(t.Context(), path)
		_, err2 := o.Read(t.Context(), origin.ReadRequest{Path: path, Length: 1})
		_, err3 := o.Put(t.Context(), path, strings.NewReader("x"), 1, origin.PutOptions{})
		for _, err := range []error{err1, err2, err3, o.Delete(t.Context(), path)} {
			if origin.Kind(err) != origin.ErrInvalid || !strings.Contains(err.Error(), says) {
				t.Errorf("%.20q: %v, want ErrInvalid that says %q", path, err, says)
			}
		}
	}
	below := at(t, server.URL, func(o *Options) { o.Prefix = strings.Repeat("p", 1000) })
	if _, err := below.Stat(t.Context(), strings.Repeat("x", 24)); origin.Kind(err) != origin.ErrInvalid {
		t.Errorf("a path that is too long with its prefix: %v", err)
	}
	if requests.Load() != 0 {
		t.Errorf("%d requests were sent", requests.Load())
	}
}

// TestPutRefusals: a body that is not what it was said to be, or that cannot be read, leaves nothing behind, not even an empty object.
func TestPutRefusals(t *testing.T) {
	var whole atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
		metadata(w, 8, 3)
	})
	o := at(t, server.URL)
	broken := errors.New("the client went away")
	for name, c := range map[string]struct {
		body io.Reader
		size int64
	}{
		"too short":             {strings.NewReader("ab"), 3},
		"nothing of three":      {strings.NewReader(""), 3},
		"too long":              {strings.NewReader("abcd"), 3},
		"breaks at once":        {&failing{err: broken}, -1},
		"breaks after a while":  {&failing{err: broken, first: strings.Repeat("x", 100_000)}, -1},
		"breaks before its end": {&failing{err: broken, first: "ab"}, 3},
	} {
		_, err := o.Put(t.Context(), "x", c.body, c.size, origin.PutOptions{})
		if origin.Kind(err) != origin.ErrInvalid || !strings.Contains(err.Error(), "nothing was written") {
			t.Errorf("%s: %v", name, err)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Put(done, "x", strings.NewReader("abc"), 3, origin.PutOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v", err)
	}
	if whole.Load() != 0 {
		t.Errorf("%d whole objects arrived", whole.Load())
	}
	if obj, err := o.Put(t.Context(), "x", strings.NewReader("abc"), 3, origin.PutOptions{}); err != nil || obj.Version != "8/3" || obj.ETag != `"8"` || whole.Load() != 1 {
		t.Errorf("a good one: %+v, %v", obj, err)
	}
}

// TestPutOnlyIfNothingIsThere: the server is told so, and its refusal is of the kind that says it, also if it comes before the body was read.
func TestPutOnlyIfNothingIsThere(t *testing.T) {
	var asked []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("ifGenerationMatch"))
		if r.URL.Query().Get("name") == "there" {
			w.WriteHeader(http.StatusPreconditionFailed)
			_, _ = io.WriteString(w, `{"error":{"code":412,"message":"At least one of the pre-conditions you specified did not hold.","errors":[{"reason":"conditionNotMet"}]}}`)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		metadata(w, 8, 3)
	})
	o, create := at(t, server.URL), origin.PutOptions{IfAbsent: true}
	if obj, err := o.Put(t.Context(), "x", strings.NewReader("abc"), 3, create); err != nil || obj.Version != "8/3" {
		t.Errorf("%+v, %v", obj, err)
	}
	for _, size := range []int{3, 100_000} {
		_, err := o.Put(t.Context(), "there", strings.NewReader(strings.Repeat("x", size)), int64(size), create)
		if origin.Kind(err) != origin.ErrVersionChanged || !strings.Contains(err.Error(), "there already") {
			t.Errorf("%d bytes where an object is: %v", size, err)
		}
	}
	if obj, err := o.Put(t.Context(), "x", strings.NewReader("abc"), 3, origin.PutOptions{}); err != nil || obj.Version != "8/3" {
		t.Errorf("without a condition: %+v, %v", obj, err)
	}
	if want := []string{"0", "0", "0", ""}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

type failing struct {
	first string
	err   error
}

func (f *failing) Read(p []byte) (int, error) {
	n := copy(p, f.first)
	if f.first = f.first[n:]; n > 0 {
		return n, nil
	}
	return 0, f.err
}

// TestOptionsTellEveryFault also checks that a good set is taken.
func TestOptionsTellEveryFault(t *testing.T) {
	bad := Options{Bucket: "gs://Lake", Prefix: "a\nb", Endpoint: "ftp://x", CredentialsFile: "x", Anonymous: true, Connections: -1, DialTimeout: -1, TLSTimeout: -1, HeaderTimeout: -1, StallTimeout: -1}
	err := bad.Validate()
	for _, says := range []string{"gs://Lake", "line feed", "ftp://x", "not both", "Connections", "DialTimeout", "TLSTimeout", "HeaderTimeout", "StallTimeout"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	for _, o := range []Options{{}, {Bucket: "ab"}, {Bucket: "lake", Endpoint: "http://store"}, {Bucket: "lake", Endpoint: "https://a/b"}, {Bucket: "lake", Endpoint: "https://u:p@a"}, {Bucket: "lake", Prefix: ".."}} {
		if o.Validate() == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	for _, o := range []Options{{Bucket: "lake"}, {Bucket: "a.lake.example.com", Prefix: "/db/"}, {Bucket: "lake", Endpoint: "http://127.0.0.1:4443", Anonymous: true}} {
		if err := o.Validate(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestTheEmulatorsHost: the environment names an emulator, which is asked without credentials; an endpoint of the options goes before it.
func TestTheEmulatorsHost(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { metadata(w, 7, 100) })
	for _, host := range []string{server.URL, strings.TrimPrefix(server.URL, "http://")} {
		t.Setenv(emulatorHost, host)
		o, err := New(Options{Bucket: "lake"})
		if err != nil {
			t.Fatal(err)
		}
		if obj, err := o.Stat(t.Context(), "x"); err != nil || obj.Version != "7/100" || o.ID() != fmt.Sprintf("gcs:%q/%q", server.URL, "lake") {
			t.Errorf("%s: %+v, %v, id %s", host, obj, err, o.ID())
		}
		_ = o.Close()
	}
	t.Setenv(emulatorHost, "127.0.0.1:1")
	if _, err := at(t, server.URL).Stat(t.Context(), "x"); err != nil {
		t.Errorf("an endpoint of the options: %v", err)
	}
	t.Setenv(emulatorHost, "http://x/y")
	if _, err := New(Options{Bucket: "lake"}); err == nil || !strings.Contains(err.Error(), emulatorHost) {
		t.Errorf("an emulator's host with a path: %v", err)
	}
}

// TestCredentials: a file's token goes with each request; a file that cannot be used, a token that is refused and credentials that are missing say
// what to do.
func TestCredentials(t *testing.T) {
	t.Setenv(emulatorHost, "")
	var refuse atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token" && refuse.Load() != 0:
			w.WriteHeader(int(refuse.Load()))
			_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`)
		case r.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"sesame","token_type":"Bearer","expires_in":3600}`)
		case r.Header.Get("Authorization") != "Bearer sesame" || r.Header.Get("X-Goog-User-Project") != "" && r.Header.Get("X-Goog-User-Project") != "payer":
			w.WriteHeader(401)
		default:
			metadata(w, 7, 100)
		}
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "credentials.json")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := func(o *Options) {
		o.Anonymous, o.CredentialsFile, o.HTTPClient, o.UserProject = false, file, server.Client(), "payer"
	}
	for _, s := range []string{"", "no json", `{"type":"nonsense"}`, `{"type":"service_account"}`} {
		write(s)
		opts := Options{Bucket: "lake", Endpoint: server.URL}
		with(&opts)
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("the file %q: %v", s, err)
		}
	}
	write(fmt.Sprintf(`{"type":"external_account","audience":"a","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"%s/token","credential_source":{"file":%q}}`, server.URL, file))
	if obj, err := at(t, server.URL, with).Stat(t.Context(), "x"); err != nil || obj.Version != "7/100" {
		t.Errorf("with a file: %+v, %v", obj, err)
	}
	exchanged, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file   string
		status int64
		kind   error
	}{
		{string(exchanged), 400, origin.ErrDenied}, {string(exchanged), 503, origin.ErrUnavailable},
		{serviceAccount(t, server.URL+"/token"), 400, origin.ErrDenied}, {serviceAccount(t, server.URL+"/token"), 503, origin.ErrUnavailable},
	} {
		write(c.file)
		refuse.Store(c.status)
		o := at(t, server.URL, with)
		_, err := o.Stat(t.Context(), "x")
		_, err2 := o.Read(t.Context(), old)
		for _, err := range []error{err, err2} {
			if origin.Kind(err) != c.kind || c.status == 400 && !strings.Contains(err.Error(), "renew them") || strings.Contains(fmt.Sprint(err), "sesame") {
				t.Errorf("a token server that answers %d: %v, want %v", c.status, err, c.kind)
			}
		}
	}
}

// TestDefaultCredentials: they are looked for when a request needs them, and again with the next one; what is missing is told with the ways out.
func TestDefaultCredentials(t *testing.T) {
	t.Setenv(emulatorHost, "")
	file := filepath.Join(t.TempDir(), "credentials.json")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"sesame","token_type":"Bearer","expires_in":3600}`)
		case r.Header.Get("Authorization") != "Bearer sesame":
			w.WriteHeader(401)
		default:
			metadata(w, 7, 100)
		}
	}))
	t.Cleanup(server.Close)
	o := at(t, server.URL, func(o *Options) { o.Anonymous, o.HTTPClient = false, server.Client() })
	_, err := o.Stat(t.Context(), "x")
	_, err2 := o.Put(t.Context(), "x", strings.NewReader("abc"), 3, origin.PutOptions{})
	for _, err := range []error{err, err2} {
		if origin.Kind(err) != origin.ErrDenied || !strings.Contains(err.Error(), "no credentials were found") || !strings.Contains(err.Error(), "anonymously") {
			t.Errorf("without credentials: %v", err)
		}
	}
	if err := os.WriteFile(file, []byte(serviceAccount(t, server.URL+"/token")), 0o600); err != nil {
		t.Fatal(err)
	}
	if obj, err := o.Stat(t.Context(), "x"); err != nil || obj.Version != "7/100" {
		t.Errorf("with credentials that came later: %+v, %v", obj, err)
	}
}

// serviceAccount is a credentials file of a service account with a key of its own.
func serviceAccount(t *testing.T, tokenURL string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "reader@lake.test", "token_uri": tokenURL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
