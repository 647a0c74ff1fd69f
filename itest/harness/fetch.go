package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mavenGet fetches one artifact into a local repository. The version is pinned like everything else.
const mavenGet = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get"

// Fetch returns the path of an artifact under CacheDir, checked against its lock line: fetched by mvn if it is not there, with
// its progress reported, and used again without a second look while a stamp beside it fits it. Two processes never fetch at
// once; a file that is too short, too long or has another sum is thrown away and is an error.
func Fetch(ctx context.Context, a Artifact, logf Logf) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	return fetchWith(ctx, a, filepath.Join(cache, "artifacts", a.File()), logf, mavenFetch)
}

// fetchWith is Fetch with the download as a parameter: download puts the file somewhere on the same disk and names it.
func fetchWith(ctx context.Context, a Artifact, path string, logf Logf, download downloader) (string, error) {
	if stamped(path, a) {
		return path, nil
	}
	unlock, err := lockCache(ctx, a.File(), logf)
	if err != nil {
		return "", err
	}
	defer unlock()
	if stamped(path, a) {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil { // there, but not known to be good
		if err := verify(path, a); err == nil {
			return path, stamp(path, a)
		}
		_ = os.Remove(path)
	}
	got, err := download(ctx, a, logf)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", a.Coordinate(), err)
	}
	if err := verify(got, a); err != nil {
		_ = os.RemoveAll(filepath.Dir(got)) // with Maven's own notes on it
		return "", fmt.Errorf("fetch %s: %w; the download was thrown away: run again, and if it persists compare its lock file with Maven Central", a.Coordinate(), err)
	}
	if err := os.Rename(got, path); err != nil {
		return "", err
	}
	return path, stamp(path, a)
}

type downloader func(ctx context.Context, a Artifact, logf Logf) (path string, err error)

// mavenFetch runs mvn with a local repository of its own under CacheDir, so that what lies in the user's is neither trusted nor
// touched; Maven's plugins stay there for the next fetch.
func mavenFetch(ctx context.Context, a Artifact, logf Logf) (string, error) {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("mvn is not on the PATH: install Maven 3.6 or newer; it is what downloads come through")
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	repo := filepath.Join(cache, "maven")
	path := a.repoPath(repo)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil { // remains of a broken download
		return "", err
	}
	logf("fetching %s (%d MB) with mvn", a.File(), a.Bytes>>20)
	cmd := exec.CommandContext(ctx, mvn, "-B", "-ntp", mavenGet, "-Dartifact="+a.Coordinate(), "-Dtransitive=false", "-Dmaven.repo.local="+repo)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { defer close(done); watchGrowth(stop, filepath.Dir(path), a, logf) }()
	err = cmd.Run()
	close(stop)
	<-done
	if err != nil {
		_ = os.RemoveAll(filepath.Dir(path))
		return "", fmt.Errorf("mvn: %w\n%s", err, lastLines(out.String(), 15))
	}
	return path, nil
}

// watchGrowth reports every few seconds how much of a download lies on disk. Maven writes beside the file it will be, under a
// name that varies by version, so the largest file in the folder is taken.
func watchGrowth(stop <-chan struct{}, dir string, a Artifact, logf Logf) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for shown := int64(0); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		var most int64
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				most = max(most, info.Size())
			}
		}
		if most > shown {
			shown = most
			logf("  %s: %d of %d MB (%d %%)", a.File(), most>>20, a.Bytes>>20, 100*most/a.Bytes)
		}
	}
}

// verify checks a file's length and sum.
func verify(path string, a Artifact) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != a.Bytes {
		return fmt.Errorf("%s holds %d bytes, its lock file says %d", a.File(), st.Size(), a.Bytes)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != a.SHA256 {
		return fmt.Errorf("%s has sha256 %s, its lock file says %s", a.File(), sum, a.SHA256)
	}
	return nil
}

// stampText is what the stamp beside a verified file says: the sum, and the length and time the file then had.
func stampText(path string, a Artifact) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d\n", a.SHA256, st.Size(), st.ModTime().UnixNano()), nil
}

func stamp(path string, a Artifact) error {
	text, err := stampText(path, a)
	if err != nil {
		return err
	}
	return writeAtomic(path+".verified", []byte(text))
}

func stamped(path string, a Artifact) bool {
	want, err := stampText(path, a)
	got, err2 := os.ReadFile(path + ".verified")
	return err == nil && err2 == nil && string(got) == want
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
