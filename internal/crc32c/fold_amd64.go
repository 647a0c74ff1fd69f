package crc32c

import "golang.org/x/sys/cpu"

// wide tells whether fold may be called, narrow whether fuse may. CRC32 instructions are part of SSE 4.2.
var (
	wide   = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VPCLMULQDQ && cpu.X86.HasSSE42
	narrow = cpu.X86.HasSSE42 && cpu.X86.HasPCLMULQDQ && hasVPCLMULQDQ()
)

// hasVPCLMULQDQ is bit 10 of ECX of CPUID's leaf 7, which package cpu tells only for processors with AVX-512. Whoever has AVX2 has that leaf.
func hasVPCLMULQDQ() bool { return cpu.X86.HasAVX2 && leaf7()>>10&1 != 0 }

// leaf7 returns ECX of CPUID's leaf 7.
func leaf7() uint32

// fold adds n bytes at p to a sum that is not inverted. n is a positive multiple of foldBytes; k points at constants.
//
//go:noescape
func fold(crc uint32, p *byte, n int, k *[10]uint64) uint32

// fuse adds rounds times fuseBytes at p to a sum that is not inverted. k are the constants for so many rounds.
//
//go:noescape
func fuse(crc uint32, p *byte, rounds int, k *[10]uint64) uint32
