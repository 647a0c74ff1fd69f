package harness

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Many artifacts are one download, each is verified, and what is verified is not fetched again; a bad one is thrown away and named.
func TestFetchAll(t *testing.T) {
	t.Setenv("ALIO_CACHE", t.TempDir())
	ctx := context.Background()
	content := map[string]string{"one": "first", "two": "second", "three": "third"}
	var all []Artifact
	for _, name := range []string{"one", "two", "three"} {
		sum := sha256.Sum256([]byte(content[name]))
		all = append(all, Artifact{Group: "g", Name: name, Version: "1", Packaging: "jar", Classifier: "c", Bytes: int64(len(content[name])), SHA256: hex.EncodeToString(sum[:])})
	}
	var asked [][]Artifact
	download := func(_ context.Context, all []Artifact, tmp string, _ Logf) error {
		asked = append(asked, all)
		if err := os.MkdirAll(filepath.Join(tmp, "out"), 0o755); err != nil {
			return err
		}
		for _, a := range all {
			if err := os.WriteFile(filepath.Join(tmp, "out", a.File()), []byte(content[a.Name]), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
	content["three"] = "other"
	if _, err := fetchAllWith(ctx, all, t.Logf, download); err == nil {
		t.Error("a file with another sum was taken")
	}
	content["three"] = "third"
	for range 2 {
		paths, err := fetchAllWith(ctx, all, t.Logf, download)
		if err != nil || len(paths) != 3 {
			t.Fatalf("paths %v, %v", paths, err)
		}
		for i, a := range all {
			if b, err := os.ReadFile(paths[i]); err != nil || string(b) != content[a.Name] || filepath.Base(paths[i]) != a.Name+"-1-c.jar" {
				t.Errorf("%s: %q, %v", paths[i], b, err)
			}
		}
	}
	if len(asked) != 2 || len(asked[0]) != 3 || !slices.Equal(asked[1], all[2:]) {
		t.Errorf("downloads of %v; want all three, then only the one that was bad", asked)
	}
}

// An archive is unpacked into one folder, whole or not at all, and an entry that is not a file of its one folder is an error.
func TestUnzip(t *testing.T) {
	for name, entries := range map[string][]string{"good": {"top/", "top/a.jar", "top/b.jar"}, "out": {"top/../../a"}, "absolute": {"/a/b"}, "deep": {"top/sub/a"}, "flat": {"a"}} {
		dir := t.TempDir()
		archive, home := filepath.Join(dir, "x.zip"), filepath.Join(dir, "home")
		f, err := os.Create(archive)
		if err != nil {
			t.Fatal(err)
		}
		w := zip.NewWriter(f)
		for _, e := range entries {
			if _, err := w.Create(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		err = fillTree(home, goodSum, func(tmp string) (string, error) { return tmp, unzip(context.Background(), archive, tmp) })
		if good := name == "good"; good != (err == nil) || good != (checkTree(home, goodSum) == nil) {
			t.Errorf("%s: %v, tree %v", name, err, checkTree(home, goodSum))
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".unpack-*")); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}

// Every file that a plugin does without is in its archive, and what is added is locked.
func TestPrestoPluginsAreLocked(t *testing.T) {
	for name, p := range prestoPlugins {
		for _, jar := range append(p.with, [2]string{"com.facebook.presto", p.archive}) {
			if _, err := LookupArtifact(jar[0], jar[1]); err != nil {
				t.Errorf("plugin %s: %v", name, err)
			}
		}
	}
}
