package crc32c

import "golang.org/x/sys/cpu"

// wide tells whether fold may be called. CRC32 instructions are part of SSE 4.2.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VPCLMULQDQ && cpu.X86.HasSSE42

// fold adds n bytes at p to a sum that is not inverted. n is a positive multiple of foldBytes; k points at constants.
//
//go:noescape
func fold(crc uint32, p *byte, n int, k *[10]uint64) uint32
