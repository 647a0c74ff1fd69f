// Package hugepages asks the kernel to back large parts of the Go heap with huge pages. A processor looks up where each 4 KiB page of memory
// lies, and below a hypervisor each look-up is one of two levels; random reads of a heap of some hundred MiB find next to none of them in its
// cache. With 2 MiB pages they find nearly all.
//
// It is a hint. Where transparent huge pages are "always" the kernel does so anyway, and where they are "never" it does not. Start at Hint.
package hugepages

import (
	"sync/atomic"
	"unsafe"
)

// Size is that of a huge page. Where the kernel's are of another size nothing is asked for.
const Size = 2 << 20

// asked remembers blocks of Size bytes that were asked for, by their number. It is a table without collision handling: what another block
// displaced is asked for once more, which costs a microsecond.
var asked [4096]atomic.Uintptr // blocks of 8 GiB, if they lie close together

// Hint says that b is to lie in huge pages, and so its neighbours within the same 2 MiB. Call it before b is written to for the first time: memory
// that is backed already is only changed by the kernel's leisure. It does not touch b. Slices of under 4 KiB are not worth the call.
func Hint(b []byte) {
	if len(b) == 0 || !supported() {
		return
	}
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b))) / Size
	last := (uintptr(unsafe.Pointer(unsafe.SliceData(b))) + uintptr(len(b)) - 1) / Size
	for block := first; block <= last; block++ {
		if slot := &asked[block%uintptr(len(asked))]; slot.Load() != block {
			slot.Store(block)
			ask(block * Size)
		}
	}
}

// HintSlice is Hint for the memory of a slice of anything.
func HintSlice[T any](s []T) {
	if len(s) > 0 {
		Hint(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), uintptr(len(s))*unsafe.Sizeof(s[0])))
	}
}
