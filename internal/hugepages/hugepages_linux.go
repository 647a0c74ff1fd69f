package hugepages

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// supported is whether the kernel has huge pages of Size.
var supported = sync.OnceValue(func() bool {
	text, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && n == Size
})

// ask advises the kernel of the block at an address. The block may reach beyond what the heap has mapped; the kernel then advises the mapped part
// and says ENOMEM, and whatever else it says, the memory is as good as it was.
func ask(at uintptr) {
	_, _, _ = unix.RawSyscall(unix.SYS_MADVISE, at, Size, unix.MADV_HUGEPAGE)
}
