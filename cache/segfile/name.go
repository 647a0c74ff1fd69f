package segfile

import (
	"fmt"
	"strconv"
	"strings"
)

// Name is "<instance>-<seq>.seg" in hex. The instance is drawn at random at every start, and the seq only grows, so no name is
// ever used again.
func Name(instance, seq uint64) string { return fmt.Sprintf("%016x-%08x.seg", instance, seq) }

// ParseName undoes Name; ok is false for any other name.
func ParseName(name string) (instance, seq uint64, ok bool) {
	base, isSeg := strings.CutSuffix(name, ".seg")
	i, s, isPair := strings.Cut(base, "-")
	if !isSeg || !isPair {
		return 0, 0, false
	}
	instance, err1 := strconv.ParseUint(i, 16, 64)
	seq, err2 := strconv.ParseUint(s, 16, 64)
	return instance, seq, err1 == nil && err2 == nil && Name(instance, seq) == name
}
