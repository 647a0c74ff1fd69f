package disk

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/alio-lake/alio/internal/vfs"
)

const killEnv = "ALIO_DISK_TEST_DIR"

func killOptions(dir string) Options {
	o := testOptions(vfs.OS)
	o.Dir, o.Size, o.SegmentSize = dir, 64<<20, 2<<20
	return o
}

// TestKillNine runs a process that stores pages, kills it with signal 9, and looks for every page that it had said was stored.
func TestKillNine(t *testing.T) {
	if dir := os.Getenv(killEnv); dir != "" {
		storeForEver(t, dir)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillNine$", "-test.v")
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	need(t, err)
	need(t, cmd.Start())
	stored := map[uint64]bool{}
	for s := bufio.NewScanner(out); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), "stored "); ok {
			n, err := strconv.ParseUint(text, 10, 64)
			need(t, err)
			if stored[n] = true; len(stored) == 300 {
				break
			}
		}
	}
	need(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if len(stored) != 300 {
		t.Fatalf("the process stored %d pages", len(stored))
	}
	h := openTier(t, killOptions(dir))
	for n := range stored {
		k, data := sizedPage(n, 30_000)
		need(t, h.get(k, data))
	}
	if r := h.Stats().Recovery; r.Sealed < 2 || r.Scanned < 1 || r.Pages < len(stored) {
		t.Fatalf("%+v", r)
	}
}

// storeForEver is the process that is killed.
func storeForEver(t *testing.T, dir string) {
	h := openTier(t, killOptions(dir))
	for n := uint64(0); ; n++ {
		k, data := sizedPage(n, 30_000)
		if h.put(k, uint8(n%2), data) {
			fmt.Printf("stored %d\n", n)
		}
	}
}
