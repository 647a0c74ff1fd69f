package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// workspace makes a new folder below dir ("": the working directory, so that it lies on a disk and not in a tmpfs as /tmp may) and makes sure that the file
// system has room for need bytes and keeps them local. remove takes it away with all that is in it.
func workspace(dir string, need int64) (path string, remove func() error, err error) {
	if dir == "" {
		dir = "."
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	free, err := freeSpace(dir)
	if err != nil {
		return "", nil, fmt.Errorf("--dir: %w", err)
	}
	if need > free {
		return "", nil, fmt.Errorf("%s has %s free and this run needs %s: name a larger disk with --dir, or ask for less (--help tells how)", dir, size(free), size(need))
	}
	path, err = os.MkdirTemp(dir, "alio-bench-")
	if err != nil {
		return "", nil, fmt.Errorf("a folder for this run (name another disk with --dir): %w", err)
	}
	return path, func() error { return os.RemoveAll(path) }, nil
}

func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// checkMemory makes sure that need bytes can stay in the page cache.
func checkMemory(need int64) error {
	have, err := availableMemory()
	if err != nil || need <= have { // a kernel that does not tell is believed to have it
		return nil
	}
	return fmt.Errorf("this run needs %s of memory for the page cache and the machine has %s available: give a smaller --size", size(need), size(have))
}

// availableMemory is MemAvailable of /proc/meminfo, or what is left below the control group's limit if that is less.
func availableMemory() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if name != "MemAvailable" {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, err
		}
		return min(kib<<10, groupLimit()), nil
	}
	return 0, errors.New("/proc/meminfo does not tell MemAvailable")
}

// groupLimit is the memory limit of the container that this process runs in; the largest number if there is none.
func groupLimit() int64 {
	const none = 1<<63 - 1
	b, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return none
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return none // "max"
	}
	return n
}

// procField reads a number of a /proc file of "Name: value [kB]" lines; kB become bytes.
func procField(file, name string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		n, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		if n != name {
			continue
		}
		text, kib := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		v, err := strconv.ParseInt(text, 10, 64)
		if kib {
			v <<= 10
		}
		return v, err
	}
	return 0, fmt.Errorf("%s does not tell %s", file, name)
}

// size prints bytes for people: exactly where that is short, else rounded down.
func size(n int64) string {
	switch {
	case n >= 10<<30 || n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20 || n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10 || n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
