package load

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Origin is an S3 server, as far as a cache that only reads needs one, with a data set as the objects of one bucket. It keeps nothing in memory, checks no
// signature, and is safe for parallel use.
type Origin struct {
	Data   Data
	Bucket string

	requests atomic.Int64
	bytes    atomic.Int64
}

// Requests is how many were answered so far.
func (o *Origin) Requests() int64 { return o.requests.Load() }

// Bytes is how many bytes of objects were sent so far.
func (o *Origin) Bytes() int64 { return o.bytes.Load() }

// ServeHTTP answers GET and HEAD of objects, with ranges and conditions.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.requests.Add(1)
	object, ok := o.find(r.URL.Path)
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "<Error><Code>NoSuchKey</Code><Message>%s is not of this data set</Message></Error>", r.URL.Path)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", strconv.FormatUint(mix(o.Data.Seed+uint64(object)), 16)))
	w.Header().Set("Content-Type", "application/octet-stream")
	content := &objectReader{data: o.Data, base: int64(object) * o.Data.ObjectSize, size: o.Data.SizeOf(object), sent: &o.bytes}
	http.ServeContent(w, r, "", time.Unix(1_700_000_000, 0), content)
}

func (o *Origin) find(path string) (object int, ok bool) {
	name, ok := strings.CutPrefix(path, "/"+o.Bucket+"/data-")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(name)
	return n, err == nil && n >= 0 && n < o.Data.Objects() && path == "/"+o.Bucket+"/"+o.Data.Name(n)
}

// objectReader is an object for http.ServeContent.
type objectReader struct {
	data       Data
	base, size int64 // of the object
	off        int64
	sent       *atomic.Int64
}

func (r *objectReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	r.off = offset
	return offset, nil
}

func (r *objectReader) Read(p []byte) (int, error) {
	if r.off >= r.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.size-r.off)]
	n := 0
	if odd := r.off % wordSize; odd != 0 {
		var word [wordSize]byte
		r.data.Fill(word[:], r.base+r.off-odd)
		n = copy(p, word[odd:])
	}
	r.data.Fill(p[n:], r.base+r.off+int64(n))
	r.off += int64(len(p))
	r.sent.Add(int64(len(p)))
	return len(p), nil
}
