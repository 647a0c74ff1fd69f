package disk

import (
	"math/bits"
	"sync"
)

// bufferClasses are sizes 4 KiB, 8 KiB, … 1 MiB, each with room for the largest record header.
const (
	smallestBuffer = 12 // log2
	bufferClasses  = 9
	largestHeader  = 128
)

// buffer is reused with its own free function, so that a hit allocates neither.
type buffer struct {
	b    []byte // of the size of its class
	free func()
}

// bufferPool lends buffers. What is not in use is the garbage collector's to take.
type bufferPool struct {
	classes [bufferClasses]sync.Pool
}

// get lends a buffer of at least n bytes of data behind a header; put it back with its free, or forget it.
func (p *bufferPool) get(n int) *buffer {
	class := 0
	if n > 1<<smallestBuffer {
		class = bits.Len(uint(n-1)) - smallestBuffer
	}
	pool := &p.classes[class]
	if b, _ := pool.Get().(*buffer); b != nil {
		return b
	}
	b := &buffer{b: make([]byte, 1<<(class+smallestBuffer)+largestHeader)}
	b.free = func() { pool.Put(b) }
	return b
}
