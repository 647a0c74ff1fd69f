package harness

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// goTools are the servers that itest/tools pins, by name: the package that go build is given.
var goTools = map[string]string{
	"versitygw":       "github.com/versity/versitygw/cmd/versitygw",
	"fake-gcs-server": "github.com/fsouza/fake-gcs-server",
}

// GoTool is the path of a test-only server built from itest/tools, whose go.sum is the checksum of all of its source. It is
// built once under CacheDir (versitygw: about two minutes of CPU) and used again while go.mod, go.sum and the compiler stay.
func GoTool(ctx context.Context, name string, logf Logf) (string, error) {
	pkg, ok := goTools[name]
	if !ok {
		return "", fmt.Errorf("harness knows no Go tool %q", name)
	}
	root, err := RepoRoot()
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "itest", "tools")
	sum, err := toolSum(module)
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(cache, "bin", name+"-"+sum)
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	unlock, err := lockCache(ctx, name, logf)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(bin); err == nil { // another process built it while we waited
		return bin, nil
	}
	logf("building %s from itest/tools (once; downloads its modules first)", name)
	if err := goBuild(ctx, module, pkg, bin, logf); err != nil {
		return "", err
	}
	return bin, nil
}

// toolSum names a build: the module's pins and the compiler.
func toolSum(module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// goBuild builds pkg of the module in dir into bin, atomically, and reports its progress each few seconds.
func goBuild(ctx context.Context, dir, pkg, bin string, logf Logf) error {
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return err
	}
	tmp := bin + fmt.Sprintf(".tmp-%d", os.Getpid())
	defer os.Remove(tmp)
	cmd := exec.CommandContext(ctx, "go", "build", "-v", "-ldflags=-s -w", "-o", tmp, pkg)
	cmd.Dir = dir
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go build %s: %w", pkg, err)
	}
	last := buildProgress(pipe, filepath.Base(bin), logf)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, dir, err, last)
	}
	return os.Rename(tmp, bin)
}

// buildProgress reads go build -v: a line for each module fetched and each package compiled. It returns the last lines.
func buildProgress(r io.Reader, name string, logf Logf) string {
	var last []string
	start, shown, n := time.Now(), time.Now(), 0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		n++
		if last = append(last, lines.Text()); len(last) > 20 {
			last = last[1:]
		}
		if time.Since(shown) > 3*time.Second {
			shown = time.Now()
			logf("  %s: %d modules and packages done, %.0f s (now %s)", name, n, time.Since(start).Seconds(), lines.Text())
		}
	}
	return strings.Join(last, "\n")
}

// shortHash names a string in a file name.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:8]
}
