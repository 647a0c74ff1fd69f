package harness

import "encoding/binary"

// Pattern fills p with bytes off to off+len(p) of the endless sequence of a seed, so that content can be checked without being
// kept. The Java side of HDFS writes the same with "fill". Two seeds agree at one position by chance (1 in 256) only.
func Pattern(p []byte, seed uint64, off int64) {
	var word [8]byte
	for i := 0; i < len(p); {
		at := uint64(off) + uint64(i)
		binary.LittleEndian.PutUint64(word[:], mix(seed+(at>>3+1)*0x9E3779B97F4A7C15))
		i += copy(p[i:], word[at&7:])
	}
}

// mix is splitmix64's finisher.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
