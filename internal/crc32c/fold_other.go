//go:build !amd64

package crc32c

const wide, narrow = false, false

func fold(uint32, *byte, int, *[10]uint64) uint32 { panic("crc32c: fold without AVX-512") }

func fuse(uint32, *byte, int, *[10]uint64) uint32 { panic("crc32c: fuse without AVX2") }
