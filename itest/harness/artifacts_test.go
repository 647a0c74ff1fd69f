package harness

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodSum = "cfd5accde17e8ebd251eeeb78aed1f490e77bb3a164d95a0f454bf8a7c1cbd3f"

// The lock file that ships is good, and every way to write a line wrong is an error that names the line.
func TestLockIsStrict(t *testing.T) {
	for file, text := range map[string]string{"artifacts.lock": artifactsLock, "presto.lock": prestoLock} {
		if all, err := parseLock(file, text); err != nil || len(all) < 2 {
			t.Fatalf("%s: %d artifacts, %v", file, len(all), err)
		}
	}
	for _, line := range []string{
		"a:b:1:jar 10", "a:b:1 10 " + goodSum, "a:b:1:jar ten " + goodSum, "a:b:1:jar 0 " + goodSum, "a:b:1:jar -1 " + goodSum,
		"a:b:1:jar 10 " + goodSum[1:], "a:b:1:jar 10 " + strings.ToUpper(goodSum), "a:b:1:jar  10 " + goodSum, "a:b:1:jar 10 " + goodSum + " ",
		"a::1:jar 10 " + goodSum, "a:b:1:jar: 10 " + goodSum, "a:b:1:jar:c:d 10 " + goodSum, "../a:b:1:jar 10 " + goodSum, "a:b/c:1:jar 10 " + goodSum, " # x",
		"a:b:1:jar 10 " + goodSum + "\na:b:2:jar 10 " + goodSum,
	} {
		if _, err := parseLock("artifacts.lock", "# comment\n\n"+line); err == nil || !strings.Contains(err.Error(), "artifacts.lock line ") {
			t.Errorf("%q: want an error that names the line, got %v", line, err)
		}
	}
}

// fetcher is a download that delivers content and counts its calls.
func fetcher(dir string, content []byte, calls *int) downloader {
	return func(_ context.Context, a Artifact, _ Logf) (string, error) {
		*calls++
		path := a.repoPath(dir)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		return path, os.WriteFile(path, content, 0o644)
	}
}

// A download is used only when its length and sum are right, once verified it is not fetched or hashed again, and a file that
// changed under its stamp is.
func TestFetchVerifies(t *testing.T) {
	t.Setenv("ALIO_CACHE", t.TempDir())
	dir, ctx, calls := t.TempDir(), context.Background(), 0
	content := []byte("the real thing")
	sum := sha256.Sum256(content)
	a := Artifact{Group: "g.h", Name: "n", Version: "1", Packaging: "jar", Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
	path := filepath.Join(dir, "artifacts", a.File())
	for name, bad := range map[string][]byte{"short": content[:5], "long": append([]byte("x"), content...), "other": []byte("the fake thing")} {
		_, err := fetchWith(ctx, a, path, t.Logf, fetcher(dir, bad, &calls))
		if err == nil || !strings.Contains(err.Error(), "thrown away") || !strings.Contains(err.Error(), a.Coordinate()) {
			t.Errorf("%s download: %v", name, err)
		}
		if _, err := os.Stat(a.repoPath(dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s download was kept", name)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s download was published", name)
		}
	}
	calls = 0
	for range 3 {
		got, err := fetchWith(ctx, a, path, t.Logf, fetcher(dir, content, &calls))
		if b, _ := os.ReadFile(got); err != nil || !bytes.Equal(b, content) {
			t.Fatalf("fetch: %q, %v", b, err)
		}
	}
	if calls != 1 {
		t.Errorf("%d downloads for three fetches", calls)
	}
	if err := os.WriteFile(path, []byte("bit rot"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := fetchWith(ctx, a, path, t.Logf, fetcher(dir, content, &calls))
	if b, _ := os.ReadFile(got); err != nil || calls != 2 || !bytes.Equal(b, content) {
		t.Errorf("after rot: %q, %d downloads, %v", b, calls, err)
	}
	if err := os.Remove(path + ".verified"); err != nil { // a file without its stamp is verified, not fetched
		t.Fatal(err)
	}
	if _, err := fetchWith(ctx, a, path, t.Logf, fetcher(dir, content, &calls)); err != nil || calls != 2 {
		t.Errorf("without stamp: %d downloads, %v", calls, err)
	}
}

// While one process holds the lock another waits, says so, and gives up with its context.
func TestLockCacheWaits(t *testing.T) {
	t.Setenv("ALIO_CACHE", t.TempDir())
	unlock, err := lockCache(context.Background(), "x", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	said := ""
	_, err = lockCache(ctx, "x", func(format string, _ ...any) { said = format; cancel() })
	if !errors.Is(err, context.Canceled) || !strings.Contains(said, "waiting for another process") {
		t.Errorf("second holder: %v, said %q", err, said)
	}
	unlock()
	unlock, err = lockCache(context.Background(), "x", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// archive is a gzipped tar of the given entries.
func archive(t *testing.T, entries ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	out := tar.NewWriter(gz)
	for _, h := range entries {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		h.Mode = 0o644
		if err := out.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := out.Write([]byte(h.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(out.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return &b
}

// The tree that is kept holds the kept plugins only, hard links survive the removal of what they linked to, and the stamp tells
// a whole tree from a damaged one.
func TestUnpackKeepsPluginsAndStamps(t *testing.T) {
	dir, top := t.TempDir(), "trino-server-1/"
	src := filepath.Join(dir, "a.tar.gz")
	b := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: top + "lib/main.jar"},
		tar.Header{Typeflag: tar.TypeReg, Name: top + "plugin/cassandra/shared.jar"},
		tar.Header{Typeflag: tar.TypeLink, Name: top + "plugin/hive/shared.jar", Linkname: top + "plugin/cassandra/shared.jar"})
	if err := os.WriteFile(src, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	a := Artifact{Name: "trino-server", Version: "1", Packaging: "tar.gz", Bytes: int64(b.Len()), SHA256: goodSum}
	home := filepath.Join(dir, "home")
	if err := fillTree(home, goodSum, func(tmp string) (string, error) { return unpackTrino(context.Background(), src, tmp, a, t.Logf) }); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(home, "plugin/hive/shared.jar")); err != nil || string(got) != top+"plugin/cassandra/shared.jar" {
		t.Errorf("hard-linked jar: %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(home, "plugin/cassandra")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a plugin that is not kept is there: %v", err)
	}
	if err := checkTree(home, goodSum); err != nil {
		t.Error(err)
	}
	if err := checkTree(home, strings.Repeat("0", 64)); err == nil {
		t.Error("the stamp of another archive passed")
	}
	if err := os.Remove(filepath.Join(home, "lib/main.jar")); err != nil {
		t.Fatal(err)
	}
	if err := checkTree(home, goodSum); err == nil {
		t.Error("a damaged tree passed")
	}
}

// No entry of an archive is written outside of the folder.
func TestUntarStaysInside(t *testing.T) {
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: "../out"}, {Typeflag: tar.TypeReg, Name: "/abs"},
		{Typeflag: tar.TypeLink, Name: "in", Linkname: "../out"}, {Typeflag: tar.TypeSymlink, Name: "in", Linkname: "/etc"},
	} {
		if err := untarGz(context.Background(), archive(t, h), t.TempDir()); err == nil {
			t.Errorf("%c %s -> %s was unpacked", h.Typeflag, h.Name, h.Linkname)
		}
	}
}

// The newest Java that is new enough wins; one without a java command or of an older version does not count.
func TestNewestJava(t *testing.T) {
	dir := t.TempDir()
	for name, version := range map[string]string{"a": "17.0.1", "b": "25.0.3", "c": "24", "d": "99.1"} {
		bin := filepath.Join(dir, name, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		release := "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"" + version + "\"\n"
		if err := os.WriteFile(filepath.Join(dir, name, "release"), []byte(release), 0o644); err != nil {
			t.Fatal(err)
		}
		if name == "d" {
			continue
		}
		if err := os.WriteFile(filepath.Join(bin, "java"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := newestJava(dir); got != filepath.Join(dir, "b") {
		t.Errorf("newest Java is %q", got)
	}
	t.Setenv("JAVA25_HOME", filepath.Join(dir, "a"))
	if _, err := Java(context.Background(), t.Logf); err == nil || !strings.Contains(err.Error(), "JAVA25_HOME") {
		t.Errorf("JAVA25_HOME with an old Java: %v", err)
	}
}

// Answers are compared as multisets, and empty ones never agree.
func TestSameRows(t *testing.T) {
	if err := SameRows([]string{"a", "b", "b"}, []string{"b", "a", "b"}); err != nil {
		t.Error(err)
	}
	for _, c := range [][2][]string{{{"a", "b", "b"}, {"a", "a", "b"}}, {{"a"}, {"a", "a"}}, {{"a"}, nil}, {nil, nil}} {
		if SameRows(c[0], c[1]) == nil {
			t.Errorf("%v and %v pass as the same", c[0], c[1])
		}
	}
}
