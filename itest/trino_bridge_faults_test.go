package itest

import (
	"context"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// badSidecars are what a bridge may find where a sidecar of its own release should be: nobody, a server that knows gRPC but not this version of the API, one
// that knows no gRPC, a folder that is not the sidecar's, and the sidecar's own, which Trino's user may not read.
type badSidecars struct {
	nobody, other, web, folder, shut string
}

// startBadSidecars are told the cache directory of the real one, which there is a way to that Trino's user may not go.
func startBadSidecars(t *testing.T, cache string) badSidecars {
	t.Helper()
	dir := t.TempDir()
	b := badSidecars{nobody: filepath.Join(dir, "nobody"), other: filepath.Join(dir, "other"), web: filepath.Join(dir, "web"), folder: filepath.Join(dir, "folder"),
		shut: shutWay(t, cache)}
	need(t, os.Mkdir(b.folder, 0o755))
	other, err := net.Listen("unix", b.other)
	if err != nil {
		t.Fatal(err)
	}
	versions := grpc.NewServer() // whatever it is asked, it has no such method: as a sidecar before or after this API has none
	go func() { _ = versions.Serve(other) }()
	t.Cleanup(versions.Stop)
	plain, err := net.Listen("unix", b.web)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(plain) }()
	t.Cleanup(func() { _ = web.Close() })
	return b
}

// shutWay is a path to a directory through a folder that nobody may enter.
func shutWay(t *testing.T, to string) string {
	t.Helper()
	shut := filepath.Join(t.TempDir(), "shut")
	need(t, os.Mkdir(shut, 0o700))
	need(t, os.Symlink(to, filepath.Join(shut, "cache")))
	need(t, os.Chmod(shut, 0))
	t.Cleanup(func() { need(t, os.Chmod(shut, 0o700)) }) // so that it can be removed
	return filepath.Join(shut, "cache")
}

// catalogs are a good one, but for one property each.
func (b badSidecars) catalogs(good map[string]string) map[string]map[string]string {
	but := func(property, value string) map[string]string {
		c := maps.Clone(good)
		c[property] = value
		return c
	}
	return map[string]map[string]string{"nobody": but("alio.sidecar", b.nobody), "other_version": but("alio.sidecar", b.other), "web": but("alio.sidecar", b.web),
		"no_folder": but("alio.directories", b.folder), "shut_folder": but("alio.directories", b.shut)}
}

// badInput: with a wrong address, a sidecar of another release or a folder that cannot be read, queries have the right rows; a counter tells, and one warning a
// minute, however many files there are, with the cause and what to do.
func (s *bridgeStage) badInput(ctx context.Context, t *testing.T, text string) {
	want := s.rows(ctx, t, "hive", text)
	for _, c := range []struct {
		catalog         string
		client, bridge  string // counters that rise
		cause, remedy   string // in one line of the log
		throughASidecar bool
	}{
		{catalog: "nobody", client: "UnreachedCalls", bridge: "BypassedFiles", cause: s.bad.nobody, remedy: "is that the address of its gRPC door?"},
		{catalog: "web", client: "UnreachedCalls", bridge: "BypassedFiles", cause: s.bad.web, remedy: "is that the address of its gRPC door?"},
		{catalog: "other_version", client: "RefusedCalls", bridge: "BypassedFiles", cause: "unknown service alio.v1.Sidecar", remedy: "install both of one release"},
		{catalog: "no_folder", client: "SidecarBytes", bridge: "OpenedFiles", cause: s.bad.folder + " cannot be identified", remedy: "May this user read it, and is it the sidecar's?",
			throughASidecar: true},
		{catalog: "shut_folder", client: "SidecarBytes", bridge: "OpenedFiles", cause: s.bad.shut + " cannot be identified", remedy: "May this user read it, and is it the sidecar's?",
			throughASidecar: true},
	} {
		begun := time.Now()
		for range 2 {
			same(t, c.catalog, want, s.rows(ctx, t, c.catalog, text))
		}
		client, bridge := s.client(ctx, t, c.catalog), s.bridge(ctx, t, c.catalog)
		if client[c.client] == 0 || bridge[c.bridge] == 0 || client["LocalBytes"] > 0 || (client["BypassedOpens"] > 0) == c.throughASidecar {
			t.Errorf("%s: the client counted %v, the bridge %v", c.catalog, client, bridge)
		}
		warned := s.warnings(t, c.cause)
		t.Logf("%s: %s %d, %s %d; %d warnings: %q", c.catalog, c.client, client[c.client], c.bridge, bridge[c.bridge], len(warned), warned)
		if most := 1 + int(time.Since(begun)/time.Minute); len(warned) == 0 || len(warned) > most || !strings.Contains(warned[0], c.remedy) {
			t.Errorf("%s: %d warnings, at most %d with %q were expected: %q", c.catalog, len(warned), most, c.remedy, warned)
		}
	}
}

// warnings are the lines of Trino's log of that level with a text in them.
func (s *bridgeStage) warnings(t *testing.T, with string) (lines []string) {
	t.Helper()
	log, err := s.trino.Log()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "\tWARN\t") && strings.Contains(line, with) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// damaged spoils every segment under the bridge's open files, first by bits, then by their end: the rows stay right, what was damaged is counted and read
// from the sidecar, which reads the store.
func (s *bridgeStage) damaged(ctx context.Context, t *testing.T, text string) {
	want := s.rows(ctx, t, "hive", text)
	for _, way := range []struct {
		name   string
		counts []string // of which one rises
		spoil  func(file string) error
	}{
		{"bits", []string{"DamagedPages"}, flipBits},
		// The sidecar may see it first, and tell.
		{"vanished", []string{"DamagedPages", "RetiredPages"}, func(file string) error { // its blocks are punched, and it has no name any more
			if err := os.Truncate(file, 0); err != nil {
				return err
			}
			return os.Remove(file)
		}},
	} {
		if err := s.alio.Cold(ctx); err != nil {
			t.Fatal(err)
		}
		local := s.client(ctx, t, "damaged")["LocalBytes"]
		for limit := time.Now().Add(time.Minute); s.client(ctx, t, "damaged")["LocalBytes"] == local; {
			if time.Now().After(limit) {
				t.Fatalf("%s: nothing is read from segments: %v", way.name, s.client(ctx, t, "damaged"))
			}
			same(t, "before the damage", want, s.rows(ctx, t, "damaged", text))
			s.settled(ctx, t)
		}
		segments, err := filepath.Glob(filepath.Join(s.alio.CacheDir, "segments", "*.seg"))
		if err != nil || len(segments) == 0 {
			t.Fatalf("segments %q: %v", segments, err)
		}
		for _, file := range segments {
			if err := way.spoil(file); err != nil {
				t.Fatal(err)
			}
		}
		before := s.client(ctx, t, "damaged")
		same(t, way.name, want, s.rows(ctx, t, "damaged", text))
		after := s.client(ctx, t, "damaged")
		t.Logf("%s: %d segments, %d damaged pages, %d retired, %d bytes of the sidecar", way.name, len(segments), after["DamagedPages"]-before["DamagedPages"],
			after["RetiredPages"]-before["RetiredPages"], after["SidecarBytes"]-before["SidecarBytes"])
		found := slices.ContainsFunc(way.counts, func(name string) bool { return after[name] > before[name] })
		if !found || after["SidecarBytes"] == before["SidecarBytes"] {
			t.Errorf("%s: before %v, after %v", way.name, before, after)
		}
	}
	if lines := s.warnings(t, "does not hold its sums and was not used"); len(lines) == 0 || !strings.Contains(lines[0], "look at the device") {
		t.Errorf("warnings of damaged pages: %q", lines)
	}
}

// flipBits changes a byte of each half block of a segment.
func flipBits(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for at := int64(8 << 10); at < info.Size(); at += 32 << 10 {
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return err
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b[:], at); err != nil {
			return err
		}
	}
	return nil
}
