package gcs

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// source is the body of a Put: it counts and sums what is sent, checks it against the size that was told, and keeps its own errors apart from the
// request's. The transport may still read it when the request has ended.
type source struct {
	r    io.Reader
	size int64 // -1: not known

	mu  sync.Mutex
	n   int64
	sum uint32
	err error
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Read ends in io.EOF only after as many bytes as were told.
func (s *source) Read(p []byte) (int, error) {
	if err := s.failed(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p) // not under the lock: a Put that has ended does not wait for a client that hangs
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n += int64(n)
	s.sum = crc32.Update(s.sum, castagnoli, p[:n])
	switch {
	case err != nil && err != io.EOF:
		s.err = err
	case s.size >= 0 && s.n > s.size:
		s.err = fmt.Errorf("the body is longer than the %d bytes that it was said to have", s.size)
	case s.size >= 0 && s.n < s.size && err == io.EOF:
		s.err = fmt.Errorf("the body ended after %d of %d bytes: %w", s.n, s.size, io.ErrUnexpectedEOF)
	default:
		return n, err
	}
	return 0, s.err
}

// failed is what the source itself failed with.
func (s *source) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// sent is how many bytes were read, and their CRC32C as Cloud Storage spells it.
func (s *source) sent() (int64, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, s.sum))
}
