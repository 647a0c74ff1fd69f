package s3proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Summary counts a log by the definitions of the package comment.
type Summary struct {
	DataGETs     int // 200 or 206 on a data file, footers included
	Footers      int // those of DataGETs that are footers
	MetadataGETs int // 200 or 206 on table metadata
	HEADs        int // with any answer but 404
	LISTs        int
	NotFound     int // 404s of any method
	Writes       int
	Other        int // what is none of these: errors, conditions that failed, cut requests
	Requests     int // all of the above
	BytesFetched int64
	Dropped      int // entries beyond Options.MaxLog, counted nowhere else
}

// String is the summary in a line.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d data GET (%d footer), %d metadata GET, %d HEAD, %d LIST, %d 404", s.DataGETs, s.Footers, s.MetadataGETs, s.HEADs, s.LISTs, s.NotFound)
	if s.Writes+s.Other > 0 {
		fmt.Fprintf(&b, ", %d write, %d other", s.Writes, s.Other)
	}
	fmt.Fprintf(&b, ", %d bytes", s.BytesFetched)
	return b.String()
}

// Summarize counts a log. The kinds are disjoint: Requests is their sum.
func Summarize(log []Entry) Summary {
	var s Summary
	for _, e := range log {
		s.Requests++
		success := e.Status == http.StatusOK || e.Status == http.StatusPartialContent
		switch {
		case e.Status == http.StatusNotFound:
			s.NotFound++
		case e.Kind == Write:
			s.Writes++
		case e.Method == http.MethodHead && e.Status != 0:
			s.HEADs++
		case !success:
			s.Other++
		case e.Kind == List:
			s.LISTs++
		case e.IsDataGET():
			s.DataGETs++
			if e.Kind == Footer {
				s.Footers++
			}
		default:
			s.MetadataGETs++
		}
		if e.Method == http.MethodGet && e.Key != "" && success {
			s.BytesFetched += e.Bytes
		}
	}
	return s
}

// Asked is how many bytes of objects a log asked for: for each object version the union of the ranges of its successful GETs,
// clamped to the object, so that a byte asked for twice counts once.
func Asked(log []Entry) int64 {
	type version struct{ bucket, key, etag string }
	spans := map[version][][2]int64{}
	for _, e := range log {
		if e.Method == http.MethodGet && e.Key != "" && e.Length > 0 {
			v := version{e.Bucket, e.Key, e.ETag}
			spans[v] = append(spans[v], [2]int64{e.Offset, e.Offset + e.Length})
		}
	}
	var sum int64
	for _, s := range spans {
		sum += union(s)
	}
	return sum
}

// union is the length of the union of half-open spans; it sorts them.
func union(spans [][2]int64) (sum int64) {
	slices.SortFunc(spans, func(a, b [2]int64) int { return int(min(1, max(-1, a[0]-b[0]))) })
	var end int64
	for _, s := range spans {
		from := max(s[0], end)
		if s[1] > from {
			sum += s[1] - from
			end = s[1]
		}
	}
	return sum
}
