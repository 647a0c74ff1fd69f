package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ContentRange reads "bytes first-last/size".
func ContentRange(s string) (off, n, size int64, ok bool) {
	s, found := strings.CutPrefix(s, "bytes ")
	span, total, found2 := strings.Cut(s, "/")
	first, last, found3 := strings.Cut(span, "-")
	if !found || !found2 || !found3 {
		return 0, 0, 0, false
	}
	var end int64
	for _, v := range []struct {
		s string
		n *int64
	}{{first, &off}, {last, &end}, {total, &size}} {
		u, err := strconv.ParseUint(v.s, 10, 63)
		if err != nil {
			return 0, 0, 0, false
		}
		*v.n = int64(u)
	}
	return off, end - off + 1, size, off <= end && end < size
}

// UnsatisfiedSize is the object's size that the Content-Range of a 416 tells ("bytes */size"), or -1.
func UnsatisfiedSize(s string) int64 {
	if total, ok := strings.CutPrefix(s, "bytes */"); ok {
		if n, err := strconv.ParseUint(total, 10, 63); err == nil {
			return int64(n)
		}
	}
	return -1
}

// RetryAfter reads a Retry-After header: seconds or a date (RFC 9110 section 10.2.3); 0 for none.
func RetryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}
