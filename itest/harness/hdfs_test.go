package harness

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hdfsTester runs commands that must succeed.
type hdfsTester struct {
	*HDFS
	t   *testing.T
	ctx context.Context
}

func newHDFSTester(t *testing.T, o HDFSOptions) hdfsTester {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return hdfsTester{NewHDFS(t, o), t, ctx}
}

func (h hdfsTester) do(command string) string {
	h.t.Helper()
	answer, err := h.Do(h.ctx, command)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer
}

// same says whether a file's bytes, as Hadoop's client reads them, are Pattern's of a seed.
func (h hdfsTester) same(path string, seed uint64, off, n int64) {
	h.t.Helper()
	want := make([]byte, n)
	Pattern(want, seed, off)
	got, err := base64.StdEncoding.DecodeString(h.do(fmt.Sprintf("read %s %d %d", path, off, n)))
	if err != nil || !bytes.Equal(got, want) {
		h.t.Fatalf("%s at %d: %d bytes are not those of seed %d (%v)", path, off, n, seed, err)
	}
}

// What research measured of generation stamps holds on the file system that the harness starts: it is a real one.
func TestHDFSWritesAppendsTruncatesRestarts(t *testing.T) {
	h := newHDFSTester(t, HDFSOptions{})
	h.do("create a /dir/a%20file 4096")
	h.do("fill a 7 0 6000")
	h.do("hflush a")
	if words := strings.Fields(h.do("locate /dir/a%20file")); len(words) != 6 || words[1] != "6000" || words[3] != "true" {
		t.Errorf("two blocks under construction: %v", words)
	}
	h.do("close a")
	h.same("/dir/a%20file", 7, 0, 6000)
	before := strings.Fields(h.do("locate /dir/a%20file"))
	h.do("append a /dir/a%20file")
	h.do("fill a 7 6000 1000")
	h.do("close a")
	h.same("/dir/a%20file", 7, 0, 7000)
	after := strings.Fields(h.do("locate /dir/a%20file"))
	if before[4] != after[4] || before[5] == after[5] {
		t.Errorf("an append changed %v to %v: want the last block alone to change", before, after)
	}
	if h.do("truncate /dir/a%20file 5000") != "false" {
		t.Error("a truncate inside a block was complete at once")
	}
	if err := h.Settled(h.ctx, "/dir/a file"); err != nil {
		t.Fatal(err)
	}
	h.do("namenode restart 0")
	h.do("datanode restart 0")
	h.same("/dir/a%20file", 7, 0, 5000)
	if c, err := h.Counts(h.ctx); err != nil || c.BytesRead() < 5000 {
		t.Errorf("counts after a read: %v, %v", c, err)
	}
	if _, err := h.Do(h.ctx, "append b /nothing"); err == nil || !strings.Contains(err.Error(), "FileNotFoundException") {
		t.Errorf("append of nothing: %v", err)
	}
	pid := h.PID()
	h.Stop()
	if err := syscall.Kill(-pid, 0); err == nil {
		t.Errorf("process group %d still lives after Stop", pid)
	}
	if _, err := h.Do(h.ctx, "metrics"); err == nil {
		t.Error("a command after Stop succeeded")
	}
}

// Two NameNodes fail over by command and by the death of the active one, and two DataNodes each hold a replica, which can be
// damaged, lost and served by the other. Erasure coding and encryption zones are there to be refused.
func TestHDFSFailsOver(t *testing.T) {
	h := newHDFSTester(t, HDFSOptions{HA: true, DataNodes: 2})
	h.do("create a /f")
	h.do("fill a 3 0 100000")
	h.do("close a")
	h.do("failover 1")
	h.same("/f", 3, 0, 100000)
	h.do("namenode stop 1")
	h.do("failover 0")
	h.do("datanode stop 0")
	h.same("/f", 3, 0, 100000)
	h.do("namenode start 1")
	h.do("datanode start 0")
	h.do("datanode stop 1")
	h.same("/f", 3, 0, 100000)
	h.do("datanode start 1")
	h.do("corrupt /f 0 0")
	h.do("lose /f 0 1")
	if _, err := h.Do(h.ctx, "read /f 0 100000"); err == nil {
		t.Error("a file without a good replica was read")
	}
	h.do("mkdir /ec")
	h.do("ec /ec XOR-2-1-1024k")
	h.do("create b /ec/f")
	h.do("fill b 5 0 5000")
	h.do("close b")
	h.same("/ec/f", 5, 0, 5000)
	h.do("mkdir /zone")
	h.do("zone /zone key1")
	h.do("create c /zone/f")
	h.do("fill c 6 0 5000")
	h.do("close c")
	h.same("/zone/f", 6, 0, 5000)
	if answer := h.do("safemode enter"); answer != "true" {
		t.Errorf("safemode enter: %s", answer)
	}
	if _, err := h.Do(h.ctx, "create d /g"); err == nil || !strings.Contains(err.Error(), "SafeMode") {
		t.Errorf("create in safe mode: %v", err)
	}
	h.do("safemode leave")
	c, err := h.Counts(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	total, by := c.ClientRPCs()
	t.Logf("%d client RPCs: %v; %d bytes read", total, by, c.BytesRead())
}

// With Kerberos the servers take a user with a ticket from a real KDC, and none without.
func TestHDFSKerberos(t *testing.T) {
	h := newHDFSTester(t, HDFSOptions{Kerberos: true})
	h.do("create a /f")
	h.do("fill a 3 0 100000")
	h.do("close a")
	h.same("/f", 3, 0, 100000)
	res, err := http.Get("http://" + h.HTTP[0] + "/webhdfs/v1/f?op=GETFILESTATUS&user.name=hdfs")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("WebHDFS without a ticket answered %s", res.Status)
	}
	http.DefaultClient.CloseIdleConnections()
}
