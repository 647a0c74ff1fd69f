package hugepages

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// The kernel says of each mapping what was asked for: "hg" among its VmFlags, if it knows huge pages at all.
func TestHintedMemoryIsMarked(t *testing.T) {
	b := make([]byte, 3*Size+5)
	at := uintptr(unsafe.Pointer(&b[0]))
	Hint(b)
	for _, a := range []uintptr{at, at + Size, at + uintptr(len(b)) - 1} {
		if flags := flagsAt(t, a); strings.Contains(flags, " hg") != supported() {
			t.Errorf("the mapping of byte %d has flags %q; huge pages of this size in this kernel: %v", a-at, flags, supported())
		}
	}
	for i, v := range b {
		if v != 0 {
			t.Fatalf("byte %d was changed", i)
		}
	}
}

func TestHintTakesAnything(t *testing.T) {
	Hint(nil)
	Hint([]byte{})
	HintSlice([]uint64{})
	HintSlice([]uint64{1})
	b := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() { Hint(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A block that lies at the end of what is mapped is no error, and what follows it is not touched.
func TestHintAtTheEdge(t *testing.T) {
	for range 100 {
		Hint(make([]byte, 64<<10))
	}
}

// flagsAt finds the flags of the mapping that an address lies in.
func flagsAt(t *testing.T, at uintptr) string {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inside := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			inside = from <= at && at < to
		}
		if inside && strings.HasPrefix(line, "VmFlags:") {
			return line
		}
	}
	t.Fatalf("no mapping holds %x", at)
	return ""
}

func BenchmarkHint(b *testing.B) {
	p := make([]byte, 64<<10)
	for b.Loop() {
		Hint(p)
	}
}
