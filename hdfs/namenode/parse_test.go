package namenode

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorded is an answer of a NameNode of Hadoop 3.4.1, without the packet's length.
func recorded(t testing.TB, name string) response {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseResponse(b)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

func located(t *testing.T, name string) *Status {
	t.Helper()
	s, err := parseOne(recorded(t, name).body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

const recordedPool = "BP-1701047417-127.0.0.1-1795823998378"

func TestParseRecordedFiles(t *testing.T) {
	s := located(t, "locate-closed")
	if s.Kind != File || s.Length != 10000 || s.FileID != 16387 || s.ModTime != 1795824001563 || s.Owner != "hdfs" || !s.Located || s.UnderConstruction || !s.LastComplete || len(s.Blocks) != 3 {
		t.Errorf("a closed file: %+v", s)
	}
	if want := (Block{Pool: recordedPool, ID: 1073741827, Stamp: 1003, Bytes: 1808, Offset: 8192, Replicas: 2}); s.Blocks[2] != want || *s.Last != want {
		t.Errorf("its last block: %+v, %+v; want %+v", s.Blocks[2], s.Last, want)
	}
	s = located(t, "locate-open")
	if s.Length != 6000 || !s.UnderConstruction || s.LastComplete || len(s.Blocks) != 2 || s.Blocks[1].Bytes != 1904 || s.Last == nil || s.Last.ID != s.Blocks[1].ID {
		t.Errorf("a file that is written to: %+v", s)
	}
	if s = located(t, "locate-empty"); s.Length != 0 || !s.Located || s.Blocks != nil || s.Last != nil || s.LastComplete {
		t.Errorf("an empty file: %+v", s)
	}
	if s = located(t, "locate-striped"); !s.Striped || s.Encrypted {
		t.Errorf("an erasure-coded file: %+v", s)
	}
	if s = located(t, "locate-encrypted"); !s.Encrypted || s.Striped {
		t.Errorf("a file of an encryption zone: %+v", s)
	}
	if s = located(t, "locate-directory"); s.Kind != Directory || s.Located {
		t.Errorf("a directory: %+v", s)
	}
	if s = located(t, "locate-absent"); s != nil {
		t.Errorf("nothing: %+v", s)
	}
}

func TestParseRecordedListings(t *testing.T) {
	p, err := parseListing(recorded(t, "list").body)
	if err != nil || len(p.Entries) != 6 || p.Remaining != 0 || p.Entries[0].Name != "closed" || len(p.Entries[0].Blocks) != 3 || p.Entries[1].Kind != Directory {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = parseListing(recorded(t, "list-file").body)
	if err != nil || len(p.Entries) != 1 || p.Entries[0].Name != "" || p.Entries[0].FileID != 16387 {
		t.Errorf("a listing of a file: %+v, %v", p, err)
	}
	if p, err = parseListing(recorded(t, "list-absent").body); p != nil || err != nil {
		t.Errorf("a listing of nothing: %+v, %v", p, err)
	}
	if s, err := parseState(recorded(t, "standby-state").body); s != stateStandby || err != nil {
		t.Errorf("state %d, %v", s, err)
	}
}

func TestParseRecordedErrors(t *testing.T) {
	for name, want := range map[string]string{
		"denied":        `AccessControlException: Permission denied: user=bob, access=EXECUTE, inode="/lake-1/secret":hdfs:supergroup:drwx------`,
		"rename-absent": "FileNotFoundException: rename source /lake-1/nothing is not found.",
	} {
		if e := recorded(t, name).err; e == nil || e.Error() != want {
			t.Errorf("%s: %v; want %s", name, e, want)
		}
	}
	if e := recorded(t, "below-file").err; e == nil || missing(e) != nil {
		t.Errorf("a path below a file: %v; want that it names nothing", e)
	}
	if err := missing(recorded(t, "denied").err); !Is(err, "AccessControlException") {
		t.Errorf("a denied path names nothing: %v", err)
	}
}

func TestCutTrace(t *testing.T) {
	for in, want := range map[string]string{"why\n\tat a.B(C.java:1)": "why", "why\nCaused by: x\n\tat y": "why", "one\ntwo": "one\ntwo", "": ""} {
		if got := cutTrace(in); got != want {
			t.Errorf("%q is cut to %q; want %q", in, got, want)
		}
	}
	if got := cutTrace(strings.Repeat("é", 5000)); len(got) > 1010 {
		t.Errorf("%d bytes are left", len(got))
	}
}

// FuzzParse has every parser take any bytes: none may panic, and what they accept has sane numbers.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.bin")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseResponse(b)
		if err != nil {
			r.body = b
		}
		if r.err != nil {
			_ = r.err.Error()
		}
		s, err := parseOne(r.body)
		if err == nil && s != nil && (s.Length < 0 || s.ModTime < 0) {
			t.Errorf("%+v", s)
		}
		p, err := parseListing(r.body)
		if err == nil && p != nil && p.Remaining < 0 {
			t.Errorf("%+v", p)
		}
		_, _ = parseBool(r.body)
		_, _ = parseState(r.body)
		_, _ = parseSASL(r.body)
	})
}

func TestReadPacketBounds(t *testing.T) {
	if _, err := readPacket(strings.NewReader("HTTP/1.1 400 Bad Request"), 1<<20); err == nil || !strings.Contains(err.Error(), "no NameNode at all") {
		t.Errorf("an HTTP server's answer: %v", err)
	}
	if _, err := readPacket(strings.NewReader("\x00\x10\x00\x00only"), 1<<21); err == nil {
		t.Error("a packet that ends early was taken")
	}
	if _, err := parseResponse(nil); err == nil {
		t.Error("an empty packet was taken")
	}
	if _, err := parseResponse([]byte{0}); !errors.Is(err, errNoHeader) {
		t.Errorf("a packet without a header: %v", err)
	}
}
