package formats

import (
	"sync"
	"unsafe"
)

// workspace is memory that the making of a layout takes and does not keep: a footer of more than a tail, and what it says. The next one takes it again, so
// that large footers, which come many at a time when a table is scanned, do not each have a megabyte cleared and collected.
type workspace struct {
	footer  []byte
	extents []extent
	aside   [asides][]extent
	cuts    []uint64
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// maxWorkspace is the most bytes of one that are kept: of a footer of 2 MB.
const maxWorkspace = 4 << 20

// bytes returns n bytes, with room for more. What is in them is not to be believed. A nil workspace keeps nothing.
func (w *workspace) bytes(n, room int64) []byte {
	if w == nil || int64(cap(w.footer)) < room {
		return make([]byte, n, room)
	}
	return w.footer[:n]
}

// keep takes what bytes returned, or what it was moved to when it grew.
func (w *workspace) keep(b []byte) {
	if w != nil {
		w.footer = b[:0]
	}
}

// giveBack ends the making of p's layout, which refers to nothing of it.
func (w *workspace) giveBack(p *plan) {
	if cap(p.extents) > cap(w.extents) {
		w.extents = p.extents[:0]
	}
	extents := cap(w.extents)
	for i, list := range p.aside {
		w.aside[i] = list[:0]
		extents += cap(list)
	}
	p.work, p.extents, p.aside = nil, nil, [asides][]extent{}
	if cap(w.footer)+extents*int(unsafe.Sizeof(extent{}))+8*cap(w.cuts) <= maxWorkspace {
		workspaces.Put(w)
	}
}
