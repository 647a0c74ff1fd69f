package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withDoor starts a sidecar with a gRPC door over an origin.
func withDoor(t *testing.T, o *s3Origin, args ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "alio") // t.TempDir's paths can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return start(t, o, append([]string{"--grpc-socket", filepath.Join(dir, "s")}, args...)...)
}

func TestListing(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	for _, path := range []string{"a.txt", "dir/one", "dir/two/x", "dir/two/y", "dir.txt", "odd\nname", "zero"} {
		o.Put(path, make([]byte, len(path)))
	}
	for i := range 2500 {
		o.Put(fmt.Sprintf("many/%04d", i), nil)
	}
	p := withDoor(t, o, "--mount", "pond=s3://bucket")
	for _, c := range []struct {
		args   []string
		code   int
		stdout string // whole; a leading ~ asks only that it holds the rest
		stderr string
	}{
		{[]string{"ls"}, 0, "lake/\npond/\n", ""},
		{[]string{"ls", "alio://lake"}, 0, "a.txt\ndir.txt\ndir/\nmany/\n\"odd\\nname\"\nzero\n", ""},
		{[]string{"ls", "lake/"}, 0, "~dir/\n", ""},
		{[]string{"ls", "/lake/dir"}, 0, "one\ntwo/\n", ""},
		{[]string{"ls", "-r", "lake/dir/"}, 0, "one\ntwo/x\ntwo/y\n", ""},
		{[]string{"ls", "-l", "lake/dir.txt"}, 0, "~  dir.txt\n", ""},
		{[]string{"ls", "-l", "lake/dir"}, 0, "~              -  -                     two/\n", ""},
		{[]string{"ls", "--json", "lake/dir"}, 0, "~{\"path\":\"lake/dir/two/\",\"folder\":true}\n", ""},
		{[]string{"ls", "--json"}, 0, "{\"path\":\"lake/\",\"folder\":true}\n{\"path\":\"pond/\",\"folder\":true}\n", ""},
		{[]string{"ls", "lake/none"}, 1, "", "alio://lake/none: there is no object of that name, and nothing below it"},
		{[]string{"ls", "sea/x"}, 1, "", "no such mount"},
		{[]string{"ls", "s3://bucket/x"}, 2, "", "this command takes alio://mount/path"},
		{[]string{"ls", "alio:///x"}, 2, "", "names no mount"},
		{[]string{"ls", "a", "b"}, 2, "", "one place at a time"},
		{[]string{"stat", "lake/dir.txt"}, 0, "~size      7 bytes\n", ""},
		{[]string{"stat", "--json", "lake/dir.txt"}, 0, "~\"path\":\"lake/dir.txt\",\"size\":7,", ""},
		{[]string{"stat", "lake/none"}, 1, "", "look at alio://lake/none"},
		{[]string{"stat"}, 2, "", "wants one alio://mount/path"},
		{[]string{"cat", "lake/zero"}, 0, "\x00\x00\x00\x00", ""},
		{[]string{"cat", "lake/many/0001"}, 0, "", ""},
		{[]string{"cat", "lake/none"}, 1, "", "read alio://lake/none"},
	} {
		code, stdout, stderr := command(t, append(c.args, "--admin", strings.TrimPrefix(p.Admin, "http://"))...)
		same := stdout == c.stdout
		if part, ok := strings.CutPrefix(c.stdout, "~"); ok {
			same = strings.Contains(stdout, part)
		}
		if code != c.code || !same || !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
			t.Errorf("alio %s\nexit %d, want %d\nstdout %q\nwant   %q\nstderr %s\nwant %s", strings.Join(c.args, " "), code, c.code, stdout, c.stdout, stderr, c.stderr)
		}
	}
	code, stdout, _ := command(t, "ls", "--recursive", "lake/many", "--admin", p.Admin)
	if lines := strings.Split(stdout, "\n"); code != 0 || len(lines) != 2501 || lines[2499] != "2499" {
		t.Errorf("exit %d, %d lines", code, len(lines))
	}
}

func TestListingWithoutADoor(t *testing.T) {
	isolate(t)
	p := start(t, startOrigin(t))
	if code, _, stderr := command(t, "ls", "--admin", p.Admin); code != 1 || !strings.Contains(stderr, "--grpc-socket") {
		t.Errorf("exit %d %s", code, stderr)
	}
	if code, _, stderr := command(t, "ls", "--admin", "127.0.0.1:1"); code != 1 || !strings.Contains(stderr, "no sidecar answers at 127.0.0.1:1") {
		t.Errorf("exit %d %s", code, stderr)
	}
	if code, _, stderr := command(t, "ls", "--door", "/none/at/all.sock"); code != 1 || !strings.Contains(stderr, "is the sidecar running") {
		t.Errorf("exit %d %s", code, stderr)
	}
}

func TestMountCommands(t *testing.T) {
	isolate(t)
	o := startOrigin(t)
	c := configure(t, "mounts:\n"+on("lake", o, "")+on("lake/gone", o, "")+"  down: {uri: 's3://bucket', s3: {endpoint: 'http://127.0.0.1:1', anonymous: true}, retry: {attempts: 1}}\n")
	c.write(t, "mounts:\n"+on("lake", o, "")+on("kept", o, ", writes: read_only")+"  down: {uri: 's3://bucket', s3: {endpoint: 'http://127.0.0.1:1', anonymous: true}, retry: {attempts: 1}}\nlog: {level: warn}\n")
	mount := func(args ...string) (int, string, string) {
		return command(t, append(append([]string{"mount"}, args...), "--admin", c.Admin)...)
	}
	code, stdout, stderr := mount("reload")
	if code != 0 || !strings.Contains(stdout, "added:   kept") || !strings.Contains(stdout, "removed: lake/gone") || !strings.Contains(stdout, "needs a restart: log.level") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = mount()
	for _, want := range []string{"down  s3    s3://bucket  pass_through  failed: ", "kept  s3    s3://bucket  read_only     ok (", "lake  s3    s3://bucket  pass_through  ok ("} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d\n%s\nwant %s", code, stdout, want)
		}
	}
	code, stdout, stderr = mount("check")
	if code != 1 || !strings.Contains(stdout, "lake: ok, s3://bucket answers in") || !strings.Contains(stdout, "remedy: nothing usable answers: check the address in mounts.down.uri and mounts.down.s3") ||
		!strings.Contains(stderr, "1 of 3 mounts cannot be used: down") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	var states []mountState
	code, stdout, _ = mount("--json")
	if err := json.Unmarshal([]byte(stdout), &states); err != nil || code != 0 || len(states) != 3 || *states[0].Reachable || !*states[2].Reachable {
		t.Errorf("exit %d %v\n%s", code, err, stdout)
	}
	c.write(t, "mounts: {}\n")
	if code, _, stderr := mount("reload"); code != 1 || !strings.Contains(stderr, "nothing was changed") || !strings.Contains(stderr, "there is no mount") {
		t.Errorf("exit %d %s", code, stderr)
	}
	if code, _, stderr := mount("relaod"); code != 2 || !strings.Contains(stderr, `did you mean "reload"?`) {
		t.Errorf("exit %d %s", code, stderr)
	}
}
