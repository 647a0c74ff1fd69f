package s3proxy

import (
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// Kind says what a request was for.
type Kind string

// The kinds. Data and Footer are successful GETs of data files; see the package comment for where one ends and the other begins.
const (
	Data     Kind = "data"
	Footer   Kind = "footer"
	Metadata Kind = "metadata" // a HEAD, or a GET of table metadata, of a subresource, or one without success
	List     Kind = "list"
	Write    Kind = "write" // PUT, POST and DELETE
)

// Entry is one request that has ended.
type Entry struct {
	Time      time.Time
	FirstByte time.Duration // from the request's arrival to the answer's header; 0 without an answer
	Duration  time.Duration // to the last byte

	Method string
	Kind   Kind
	Status int // 0: cut before an answer
	Bucket string
	Key    string // "" on a bucket's own requests
	Query  string // raw
	Range  string // as asked

	// Of a successful GET of an object: the answered range, clamped to the object, the object's size, and its version.
	Offset, Length int64
	Size           int64
	ETag           string

	Bytes int64  // of the body that were passed on
	Fault string // the name of the fault that was injected

	json bool // a request of the JSON API of GCS
}

// IsDataGET says whether the entry is a data GET: a 200 or 206 on a data file.
func (e Entry) IsDataGET() bool { return e.Kind == Data || e.Kind == Footer }

// describe is an entry of a request that begins.
func describe(r *http.Request) Entry {
	e := Entry{Time: time.Now(), Method: r.Method, Query: r.URL.RawQuery, Range: r.Header.Get("Range")}
	path := strings.TrimPrefix(r.URL.Path, "/")
	for _, api := range []string{"upload/storage/v1/b/", "storage/v1/b/"} { // the JSON API of GCS; its XML API has paths as S3's
		if below, ok := strings.CutPrefix(path, api); ok {
			e.json = true
			path = strings.Replace(below+"/", "/o/", "/", 1)
			path = strings.TrimSuffix(path, "/")
			break
		}
	}
	e.Bucket, e.Key, _ = strings.Cut(path, "/")
	return e
}

// finish completes it from the answer.
func (e *Entry) finish(rec *recorder, r *http.Request) {
	e.Duration, e.FirstByte = time.Since(e.Time), rec.firstByte
	e.Status, e.Bytes = rec.status, rec.bytes
	success := e.Status == http.StatusOK || e.Status == http.StatusPartialContent
	if e.Method == http.MethodGet && e.Key != "" && success {
		e.extent(rec.Header())
	}
	switch {
	case e.Method == http.MethodPut || e.Method == http.MethodPost || e.Method == http.MethodDelete:
		e.Kind = Write
	case e.Method == http.MethodGet && e.Key == "":
		e.Kind = List
	case e.Method != http.MethodGet || !success || isMetadata(e.Key) || subresource(e.Query, e.json):
		e.Kind = Metadata
	case e.Offset > 0 && e.Offset+e.Length == e.Size:
		e.Kind = Footer
	default:
		e.Kind = Data
	}
}

// extent reads the answered range from the answer's header.
func (e *Entry) extent(h http.Header) {
	e.ETag = h.Get("ETag")
	if first, last, size, ok := contentRange(h.Get("Content-Range")); ok && e.Status == http.StatusPartialContent {
		e.Offset, e.Length, e.Size = first, last-first+1, size
		return
	}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil {
		e.Length, e.Size = n, n
		return
	}
	e.Length, e.Size = e.Bytes, e.Bytes
}

// contentRange parses "bytes first-last/size".
func contentRange(s string) (first, last, size int64, ok bool) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, 0, false
	}
	span, total, ok1 := strings.Cut(rest, "/")
	a, b, ok2 := strings.Cut(span, "-")
	if !ok1 || !ok2 {
		return 0, 0, 0, false
	}
	var errs [3]error
	first, errs[0] = strconv.ParseInt(a, 10, 64)
	last, errs[1] = strconv.ParseInt(b, 10, 64)
	size, errs[2] = strconv.ParseInt(total, 10, 64)
	return first, last, size, errs == [3]error{} && first >= 0 && first <= last && last < size
}

// metadataDirs are the folders in which table formats keep their metadata.
var metadataDirs = []string{"_delta_log", ".hoodie", "metadata", "_trino_meta", "_starburst_meta"}

// isMetadata tells table metadata from data files by name: a metadata folder in the path, or a hidden base name.
func isMetadata(key string) bool {
	base := path.Base(key)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	for dir := range strings.SplitSeq(path.Dir(key), "/") {
		for _, m := range metadataDirs {
			if dir == m {
				return true
			}
		}
	}
	return false
}

// subresource says whether a query asks for something beside the object's bytes (?acl, ?tagging, ...). Presigned requests
// carry X-Amz- parameters, SDKs an x-id, a reader of versions a versionId or a generation: those still mean the bytes. In the JSON API
// of GCS only alt=media does.
func subresource(query string, json bool) bool {
	if json {
		return !strings.Contains("&"+query+"&", "&alt=media&")
	}
	for param := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(param, "=")
		name = strings.ToLower(name)
		if name != "" && name != "x-id" && name != "versionid" && name != "generation" && name != "partnumber" &&
			!strings.HasPrefix(name, "x-amz-") && !strings.HasPrefix(name, "response-") {
			return true
		}
	}
	return false
}
