package harness

import (
	"bytes"
	"context"
	"io"
	"syscall"
	"testing"
)

// The emulator serves what was written, and after Stop nothing of it runs.
func TestGCSServesAndStops(t *testing.T) {
	g := GCSServer(t)
	client, err := g.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	body := bytes.Repeat([]byte("0123456789"), 1000)
	w := client.Bucket(g.Bucket).Object("a/b").NewWriter(context.Background())
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := client.Bucket(g.Bucket).Object("a/b").NewRangeReader(context.Background(), -7, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tail, err := io.ReadAll(r)
	if err != nil || string(tail) != "3456789" || r.Attrs.Generation != w.Attrs().Generation {
		t.Errorf("suffix read gave %q of generation %d, %v; written was %d", tail, r.Attrs.Generation, err, w.Attrs().Generation)
	}
	pid := g.proc.PID()
	g.Stop()
	g.Stop()
	if err := syscall.Kill(-pid, 0); err == nil {
		t.Errorf("process group %d still lives after Stop", pid)
	}
}
