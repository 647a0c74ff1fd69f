package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alio-lake/alio/sidecar/config"
)

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := config.Default()
	cfg.Doors.S3.Listen, cfg.Admin.Listen = taken.Addr().String(), "192.0.2.1:1" // TEST-NET-1: no address of this machine
	_, err = openListeners(t.Context(), cfg, nil)
	for _, want := range []string{"doors.s3.listen: " + taken.Addr().String() + " is in use", "--s3-listen", "admin.listen: cannot listen on 192.0.2.1:1", "--admin-listen"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
}

func TestListenersAreClosedWhenOneFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Admin.Listen = taken.Addr().String()
	if _, err := openListeners(t.Context(), cfg, map[string]net.Listener{s3SocketName: other}); err == nil {
		t.Fatal("no error")
	}
	if _, err := other.Accept(); err == nil {
		t.Error("the S3 listener is still open")
	}
}

func TestPassedSocketMustNotBeWide(t *testing.T) {
	wide := &net.TCPAddr{IP: net.IPv4zero, Port: 9480}
	if err := checkPassed(wide, config.S3Door{}); err == nil || !strings.Contains(err.Error(), "0.0.0.0:9480") {
		t.Errorf("a wide socket without TLS: %v", err)
	}
	safe := config.S3Door{TLS: config.TLS{CertFile: "c", KeyFile: "k"}, Credentials: []config.Credential{{}}}
	for _, c := range []struct {
		addr net.Addr
		door config.S3Door
	}{{wide, safe}, {&net.TCPAddr{IP: net.IPv6loopback}, config.S3Door{}}, {&net.UnixAddr{Name: "/x"}, config.S3Door{}}} {
		if err := checkPassed(c.addr, c.door); err != nil {
			t.Errorf("%v: %v", c.addr, err)
		}
	}
}

func TestNothingIsPassed(t *testing.T) {
	for _, env := range []map[string]string{{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": "7", "LISTEN_FDS": "x"}, {"LISTEN_PID": "7", "LISTEN_FDS": "0"}} {
		got, err := passedListeners(func(name string) string { return env[name] }, 7)
		if err != nil || len(got) != 0 {
			t.Errorf("%v: %v, %v", env, got, err)
		}
	}
}

// TestSocketActivation kills a sidecar whose port somebody else holds, and shows that a client who comes while none runs is served by the
// next one.
func TestSocketActivation(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	o.Put("a", []byte("patience"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	defer file.Close()
	activate := func() *process {
		cmd := sidecarCommand("--mount", "lake=s3://bucket", "--s3-endpoint", o.url, "--s3-path-style", "--s3-anonymous", "--admin-listen", "127.0.0.1:0")
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, cmd.Args...)
		cmd.Path = "/bin/sh"
		cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=s3")
		cmd.ExtraFiles = []*os.File{file}
		p := launch(t, cmd)
		if err := json.Unmarshal([]byte(p.waitLog(`"message":"ready"`)), p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := activate()
	if want := "http://" + ln.Addr().String(); p.S3 != want {
		t.Fatalf("the door is %s, want the passed %s", p.S3, want)
	}
	if a := p.must(p.S3 + "/lake/a"); a.body != "patience" {
		t.Errorf("%d %s", a.code, a.body)
	}
	p.signal(syscall.SIGKILL)
	p.exit()
	got := make(chan answer, 1)
	go func() {
		a, err := p.get(p.S3 + "/lake/a")
		if err != nil {
			a.body = err.Error()
		}
		got <- a
	}()
	activate()
	if a := <-got; a.code != 200 || a.body != "patience" {
		t.Errorf("the client that came while no sidecar ran got %d %s", a.code, a.body)
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := notifyManager("READY=1"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("%q %v", buf[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notifyManager("READY=1"); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", path+"none")
	if err := notifyManager("READY=1"); err == nil {
		t.Error("no error")
	}
}

func TestSignals(t *testing.T) {
	exits := make(chan int, 1)
	ctx, stop := signals(context.Background(), func(code int) { exits <- code })
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for i, after := range []func(){func() { <-ctx.Done() }, func() { <-exits }} {
		if err := self.Signal(syscall.SIGTERM); err != nil {
			t.Fatalf("signal %d: %v", i+1, err)
		}
		after()
	}
}
