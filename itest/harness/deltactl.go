package harness

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed deltactl.py
var deltaControl string

// DeltaClient is a process of delta-rs that writes and reads Delta tables one command after the other.
type DeltaClient struct {
	ctl  *control
	proc *Process
}

// DeltaRead is a table as a reader found it.
type DeltaRead struct {
	Version, Rows, Sum int64  // of the ids
	Least, Greatest    string // tags; "None" without rows
}

// Delta starts a client for one test.
func Delta(t testing.TB) *DeltaClient {
	t.Helper()
	venv, err := pythonWith(context.Background(), "deltalake-1.6.6", deltalake, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	in, toChild, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromChild, out, err := os.Pipe()
	if err != nil {
		closeFiles(in, toChild)
		t.Fatal(err)
	}
	dir := t.TempDir()
	proc, err := startProcess(processSpec{Name: "delta-rs", Path: filepath.Join(venv, "bin", "python"), Args: []string{"-c", deltaControl}, Dir: dir,
		LogFile: filepath.Join(dir, "delta.log"), Stdin: in, Stdout: out})
	if err != nil {
		closeFiles(toChild, fromChild)
		t.Fatal(err)
	}
	c := &DeltaClient{ctl: newControl(toChild, fromChild), proc: proc}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(proc.Tail(4000))
		}
		proc.Stop(2 * time.Second)
		c.ctl.close()
	})
	return c
}

// Settings says how an endpoint is asked; before the first use of it.
func (c *DeltaClient) Settings(ctx context.Context, endpoint, access, secret string) error {
	_, err := c.ctl.do(ctx, strings.Join([]string{"settings", endpoint, access, secret}, " "))
	return err
}

// Write makes one commit of count rows, with ids from one on, and a tag (one word). With create there must be no table yet.
func (c *DeltaClient) Write(ctx context.Context, endpoint, uri string, from, count int, tag string, create bool) error {
	command := fmt.Sprintf("write %s %s %d %d %s", endpoint, uri, from, count, tag)
	if create {
		command += " create"
	}
	_, err := c.ctl.do(ctx, command)
	return err
}

// Read reads the rows with ids from one on (0: the whole table), at the version that the endpoint shows as the present one. Rows are asked for by a
// predicate, which spares the reader all files whose statistics say that none is in them.
func (c *DeltaClient) Read(ctx context.Context, endpoint, uri string, from int) (DeltaRead, error) {
	text, err := c.ctl.do(ctx, fmt.Sprintf("read %s %s %d", endpoint, uri, from))
	if err != nil {
		return DeltaRead{}, err
	}
	var r DeltaRead
	words := strings.Split(text, " ")
	if len(words) != 5 {
		return r, fmt.Errorf("a read of %s answered %q", uri, text)
	}
	if words[2] == "None" { // no rows
		words[2] = "0"
	}
	for i, to := range []*int64{&r.Version, &r.Rows, &r.Sum} {
		if *to, err = strconv.ParseInt(words[i], 10, 64); err != nil {
			return r, fmt.Errorf("a read of %s answered %q", uri, text)
		}
	}
	r.Least, r.Greatest = words[3], words[4]
	return r, nil
}
