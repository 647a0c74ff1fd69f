package rpc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// parquetFile is a file of six columns in two row groups, about 1.9 MB.
func parquetFile(t testing.TB) []byte {
	t.Helper()
	var fields schema.FieldList
	for i := range 6 {
		fields = append(fields, schema.NewInt64Node(fmt.Sprintf("c%d", i), parquet.Repetitions.Required, -1))
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
	check(t, err)
	var buf bytes.Buffer
	w := file.NewParquetWriter(&buf, root, file.WithWriterProps(parquet.NewWriterProperties(parquet.WithDictionaryDefault(false))))
	for range 2 {
		group := w.AppendRowGroup()
		for range 6 {
			column, err := group.NextColumn()
			check(t, err)
			values := make([]int64, 20_000)
			for i, b := range random(7, len(values)) {
				values[i] = int64(b) * int64(i)
			}
			_, err = column.(*file.Int64ColumnChunkWriter).WriteBatch(values, nil, nil)
			check(t, err)
			check(t, column.Close())
		}
	}
	check(t, w.Close())
	return buf.Bytes()
}

// listenTCP serves on a port of loopback until the test ends.
func (r *rig) listenTCP() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(r.t, err)
	r.serve(ln)
	return ln.Addr().String()
}

// bearer sends a metadata field with each call.
type bearer struct{ field, value string }

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{b.field: b.value}, nil
}
func (bearer) RequireTransportSecurity() bool { return false }

func (r *rig) withToken(address, secret string) apiv1.SidecarClient {
	return apiv1.NewSidecarClient(r.dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer{"authorization", "Bearer " + secret})))
}

func TestTokens(t *testing.T) {
	r := newRig(t, func(p *parts) {
		p.rpc.Tokens = []Token{{Name: "all", Secret: "secret-all"}, {Name: "some", Secret: "secret-some", Mounts: []string{"lake/sales", "sea"}}}
	})
	r.store.Put("sales/a", []byte("a"))
	r.store.Put("hr/a", []byte("a"))
	address := r.listenTCP()
	for _, sent := range []bearer{{"x-nothing", ""}, {"authorization", "secret-all"}, {"authorization", "Bearer secret-al"}, {"authorization", "Bearer "},
		{"authorization", "Bearer  secret-all"}, {"authorization", "Basic secret-all"}} {
		c := apiv1.NewSidecarClient(r.dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(sent)))
		_, err := c.Status(ctxOf(t), &apiv1.StatusRequest{})
		wantCode(t, fmt.Sprintf("%q", sent), err, codes.Unauthenticated)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("an error shows a token: %v", err)
		}
	}
	twice := metadata.AppendToOutgoingContext(ctxOf(t), "authorization", "Bearer secret-all")
	_, err := r.withToken(address, "secret-all").Status(twice, &apiv1.StatusRequest{})
	wantCode(t, "two tokens", err, codes.Unauthenticated)

	some := r.withToken(address, "secret-some")
	for _, c := range []struct {
		mount, path string
		want        codes.Code
	}{{"lake", "sales/a", codes.OK}, {"lake", "hr/a", codes.PermissionDenied}, {"lake", "sales/../hr/a", codes.PermissionDenied}, {"sea", "x", codes.NotFound}, {"nowhere", "x", codes.PermissionDenied}} {
		what := c.mount + "/" + c.path
		_, err := some.Stat(ctxOf(t), &apiv1.StatRequest{Mount: c.mount, Path: c.path})
		wantCode(t, "stat "+what, err, c.want)
		_, _, err = r.read(some, &apiv1.ReadRequest{Mount: c.mount, Path: c.path})
		wantCode(t, "read "+what, err, c.want)
		_, f := r.open(some, &apiv1.OpenFile{Mount: c.mount, Path: c.path})
		wantCode(t, "open "+what, status.Error(codes.Code(f.Error.GetCode()), f.Error.GetMessage()), c.want)
		p, err := some.Prefetch(ctxOf(t), &apiv1.PrefetchRequest{Files: []*apiv1.OpenFile{{Mount: c.mount, Path: c.path}}})
		check(t, err)
		wantCode(t, "prefetch "+what, status.Error(codes.Code(p.Errors[0].Code), ""), c.want)
		_, err = some.Invalidate(ctxOf(t), &apiv1.InvalidateRequest{Mount: c.mount, Path: c.path})
		if want := c.want; want != codes.NotFound {
			wantCode(t, "invalidate "+what, err, want)
		}
	}
	for prefix, want := range map[string]codes.Code{"sales/": codes.OK, "sales": codes.PermissionDenied, "": codes.PermissionDenied} {
		_, err := some.List(ctxOf(t), &apiv1.ListRequest{Mount: "lake", Prefix: prefix})
		wantCode(t, "list "+prefix, err, want)
		_, err = some.Invalidate(ctxOf(t), &apiv1.InvalidateRequest{Mount: "lake", Path: prefix, Prefix: true})
		wantCode(t, "invalidate below "+prefix, err, want)
	}
	if st, err := some.Status(ctxOf(t), &apiv1.StatusRequest{}); err != nil || fmt.Sprint(st.Mounts) != "[lake sea]" {
		t.Errorf("%v, %v", st, err)
	}
	if shown := fmt.Sprintf("%v %+v %#v", r.server.opts.Tokens, r.server.opts.Tokens[0], r.server.opts.Tokens); strings.Contains(shown, "secret-") {
		t.Errorf("a token is printed: %s", shown)
	}
}

// Who the peer of the Unix socket is, the kernel says: only root, the sidecar's user and those that are named may come in.
func TestUsers(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.Users = []uint32{12345} })
	for uid, want := range map[uint32]bool{0: true, uint32(os.Geteuid()): true, 12345: true, 54321: false} {
		if r.server.users[uid] != want {
			t.Errorf("user %d may: %v", uid, !want)
		}
	}
	if _, err := r.Status(ctxOf(t), &apiv1.StatusRequest{}); err != nil {
		t.Errorf("the own user: %v", err)
	}
	shut := newRig(t, func(p *parts) { p.server = func(s *Server) { clear(s.users) } })
	wantNoEntry(t, shut, shut, os.Geteuid())
	if os.Geteuid() != 0 {
		return
	}
	check(t, os.Chmod(r.socket, 0o777))
	check(t, os.Chmod(filepath.Dir(r.socket), 0o755))
	for uid, may := range map[int]bool{12345: true, 54321: false} {
		c := apiv1.NewSidecarClient(r.dial("passthrough:any", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return dialAs(uid, r.socket) })))
		if !may {
			wantNoEntry(t, r, c, uid)
		} else if _, err := c.Status(ctxOf(t), &apiv1.StatusRequest{}); err != nil {
			t.Errorf("user %d: %v", uid, err)
		}
	}
}

func wantNoEntry(t *testing.T, r *rig, c apiv1.SidecarClient, uid int) {
	t.Helper()
	_, err := c.Status(ctxOf(t), &apiv1.StatusRequest{})
	wantCode(t, "a user who may not", err, codes.PermissionDenied)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("add %d", uid)) {
		t.Errorf("no way out: %v", err)
	}
	if n := value(t, r.server.metrics.requests[0][codes.PermissionDenied]); n != 1 {
		t.Errorf("counted %v", n)
	}
}

// dialAs connects as another user. The thread that did it is not used again.
func dialAs(uid int, path string) (c net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: it ends with this goroutine
		const keep = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			err = errno
			return
		}
		c, err = net.Dial("unix", path)
	}()
	<-done
	return c, err
}

func TestServeRefusesOpenDoors(t *testing.T) {
	r := newRig(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	wantRefused(t, r, ln, "doors.grpc.tokens")
	r = newRig(t, func(p *parts) { p.rpc.Tokens = []Token{{Name: "a", Secret: "s"}} })
	ln, err = net.Listen("tcp", ":0")
	check(t, err)
	wantRefused(t, r, ln, "doors.grpc.tls")
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("a refused listener is open")
	}
}

func wantRefused(t *testing.T, r *rig, ln net.Listener, why string) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ln) }()
	select {
	case err := <-served:
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, and not a word of %s", err, why)
		}
	case <-time.After(10 * time.Second):
		r.server.Close()
		t.Errorf("%s is served", ln.Addr())
	}
}

// selfSigned makes a certificate for 127.0.0.1 and a pool that trusts it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	cert, pool := selfSigned(t)
	r := newRig(t, func(p *parts) {
		p.rpc.Tokens = []Token{{Name: "a", Secret: "secret"}}
		p.rpc.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	})
	data := random(1, 600_000)
	r.store.Put("a", data)
	address := r.listenTCP()
	c := apiv1.NewSidecarClient(r.dial(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})), grpc.WithPerRPCCredentials(bearer{"authorization", "Bearer secret"})))
	if got, _, err := r.read(c, &apiv1.ReadRequest{Mount: "lake", Path: "a"}); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, err := r.withToken(address, "secret").Status(ctxOf(t), &apiv1.StatusRequest{})
	wantCode(t, "no TLS", err, codes.Unavailable)
	if _, err := r.Status(ctxOf(t), &apiv1.StatusRequest{}); err != nil {
		t.Errorf("the Unix socket beside it: %v", err)
	}
}

func TestListenUnix(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "s")
	ln, err := ListenUnix(path)
	check(t, err)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("twice: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first does not listen any more: %v", err)
	} else {
		c.Close()
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // as a process that is killed leaves it
	check(t, ln.Close())
	if ln, err = ListenUnix(path); err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	check(t, ln.Close())
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
	check(t, os.WriteFile(path, []byte("precious"), 0o600))
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("on a file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is %q, %v", b, err)
	}
	check(t, os.Chmod(folder, 0o777))
	for path, want := range map[string]string{
		filepath.Join(folder, "other"):                  "chmod o-w",
		filepath.Join(folder, "none", "s"):              "does not exist",
		filepath.Join(folder, strings.Repeat("x", 200)): "choose a shorter one",
		filepath.Join(path, "s"):                        "s",
	} {
		if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestTokensThatChange has a token taken away while a connection that has used it is open.
func TestTokensThatChange(t *testing.T) {
	r := newRig(t, func(p *parts) { p.rpc.Tokens = []Token{{Name: "a", Secret: "secret-a"}} })
	address := r.listenTCP()
	c := r.withToken(address, "secret-a")
	_, err := c.Status(ctxOf(t), &apiv1.StatusRequest{})
	check(t, err)
	if err := r.server.SetTokens([]Token{{Name: "b"}}); err == nil {
		t.Error("a token without a secret was taken")
	}
	_, err = c.Status(ctxOf(t), &apiv1.StatusRequest{})
	check(t, err)
	check(t, r.server.SetTokens([]Token{{Name: "b", Secret: "secret-b"}}))
	_, err = c.Status(ctxOf(t), &apiv1.StatusRequest{})
	wantCode(t, "a token that was taken away", err, codes.Unauthenticated)
	_, err = r.withToken(address, "secret-b").Status(ctxOf(t), &apiv1.StatusRequest{})
	check(t, err)
}
