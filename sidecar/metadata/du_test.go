package metadata

import (
	"os"
	"syscall"
)

// allocated is what a directory entry takes on disk.
func allocated(d os.DirEntry) int64 {
	info, err := d.Info()
	if err != nil {
		return 0 // removed meanwhile
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}
