package ring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	chunkMagic  = "ALIOpart"
	chunkHeader = len(chunkMagic) + 1 + 4 + 4 + sha256.Size
	maxChunks   = 4096
)

// Chunks cuts an encoding into values of at most size bytes each, as a store with a limit wants them (etcd takes 1.5 MiB at once). Each says of which epoch it is, and
// which part. Sizes below 1 KiB are taken as 1 KiB.
func Chunks(encoding []byte, size int) ([][]byte, error) {
	if len(encoding) < sha256.Size {
		return nil, invalid("%d bytes are no epoch's encoding", len(encoding))
	}
	payload := max(size, 1024) - chunkHeader
	count := (len(encoding) + payload - 1) / payload
	if count > maxChunks {
		return nil, invalid("an epoch of %d bytes in chunks of %d: that is %d, and %d is the limit", len(encoding), size, count, maxChunks)
	}
	hash := encoding[len(encoding)-sha256.Size:]
	out := make([][]byte, 0, count)
	for i := range count {
		b := append([]byte(chunkMagic), formatVersion)
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
		b = binary.LittleEndian.AppendUint32(b, uint32(count))
		b = append(b, hash...)
		out = append(out, append(b, encoding[i*payload:min(len(encoding), (i+1)*payload)]...))
	}
	return out, nil
}

// Join puts chunks together, in any order, and gives the encoding with its hash checked. What is missing or mixed from two epochs is an error that wraps ErrCorrupt.
func Join(chunks [][]byte) ([]byte, error) {
	parts := make([][]byte, len(chunks))
	total := 0
	for _, c := range chunks {
		if len(c) < chunkHeader || !bytes.HasPrefix(c, []byte(chunkMagic)) || c[len(chunkMagic)] != formatVersion {
			return nil, corrupt("the bytes are not those of an epoch's chunk, or of another format than %d", formatVersion)
		}
		if !bytes.Equal(c[chunkHeader-sha256.Size:chunkHeader], chunks[0][chunkHeader-sha256.Size:chunkHeader]) {
			return nil, corrupt("chunks of two epochs")
		}
		i, count := binary.LittleEndian.Uint32(c[9:]), binary.LittleEndian.Uint32(c[13:])
		if int(count) != len(chunks) || i >= count || parts[i] != nil {
			return nil, corrupt("chunk %d of %d beside %d others: one is missing, or there twice", i, count, len(chunks)-1)
		}
		parts[i] = c[chunkHeader:]
		total += len(c) - chunkHeader
	}
	if total < sha256.Size {
		return nil, corrupt("%d chunks with %d bytes are no epoch", len(chunks), total)
	}
	encoding := bytes.Join(parts, nil)
	sum := sha256.Sum256(encoding[:total-sha256.Size])
	if !bytes.Equal(sum[:], encoding[total-sha256.Size:]) || !bytes.Equal(sum[:], chunks[0][chunkHeader-sha256.Size:chunkHeader]) {
		return nil, corrupt("the chunks' hash does not match their bytes")
	}
	return encoding, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("ring: %w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
