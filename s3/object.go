package s3

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/alio-lake/alio/origin"
)

// rawResponse is the HTTP answer behind an operation's output: it has the headers that the output's type leaves out.
func rawResponse(m middleware.Metadata) (*http.Response, error) {
	raw, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response)
	if !ok || raw == nil || raw.Response == nil {
		return nil, errors.New("the SDK kept no HTTP answer")
	}
	return raw.Response, nil
}

// object is what an answer's headers tell of an object of size bytes.
func (o *Origin) object(path string, h http.Header, size int64) origin.Object {
	modified, _ := http.ParseTime(h.Get("Last-Modified")) // a time that cannot be read is the zero time: nothing depends on it
	obj := o.describe(path, h.Get("ETag"), size, modified)
	obj.Attributes = attributes(h)
	return obj
}

// describe makes an Object from what both an answer and a listing tell.
func (o *Origin) describe(path, etag string, size int64, modified time.Time) origin.Object {
	obj := origin.Object{Path: path, Size: size, ModTime: modified.UTC(), ETag: etag, Version: version(etag, size)}
	if obj.Version != "" {
		id := fmt.Sprintf("%s/%q@%q/%d", o.id, o.opts.Prefix+path, canonical(etag), size)
		obj.Parts = []origin.Part{{ID: id, Length: size}}
	}
	return obj
}

// canonical is an ETag with its quotes, which some servers leave out in some answers; "" for none and for a weak one, which promises
// only that the meaning is the same, not the bytes.
func canonical(etag string) string {
	if etag == "" || etag == `""` || strings.HasPrefix(etag, "W/") {
		return ""
	}
	if strings.HasPrefix(etag, `"`) {
		return etag
	}
	return `"` + etag + `"`
}

// version names a version by ETag and size.
func version(etag string, size int64) origin.Version {
	e := canonical(etag)
	if e == "" {
		return ""
	}
	return origin.Version(e + "/" + strconv.FormatInt(size, 10))
}

// split takes a version apart; false if it is none of ours.
func split(v origin.Version) (etag string, size int64, ok bool) {
	i := strings.LastIndexByte(string(v), '/')
	if i < 2 || v[0] != '"' || v[i-1] != '"' {
		return "", 0, false
	}
	size, err := strconv.ParseInt(string(v[i+1:]), 10, 64)
	return string(v[:i]), size, err == nil && size >= 0
}

// plainAttributes are the headers without an x-amz- before them that belong to an object.
var plainAttributes = map[string]bool{
	"Content-Type": true, "Content-Encoding": true, "Content-Language": true, "Content-Disposition": true, "Cache-Control": true, "Expires": true,
}

// notAttributes are x-amz- headers that belong to one answer, not to the object.
var notAttributes = map[string]bool{
	"X-Amz-Request-Id": true, "X-Amz-Id-2": true, "X-Amz-Request-Charged": true, "X-Amz-Bucket-Region": true, "X-Amz-Mp-Parts-Count": true,
	"X-Amz-Delete-Marker": true, "X-Amz-Cf-Id": true, "X-Amz-Cf-Pop": true,
}

// attributes are the headers of an answer that a GET or HEAD of the object carries again: content headers, user metadata, storage
// class, encryption, version id and so on. Checksums are left out: they speak of a whole body, and no cached range is one.
func attributes(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		amz := strings.HasPrefix(name, "X-Amz-") && !notAttributes[name] && !strings.HasPrefix(name, "X-Amz-Checksum-")
		if amz || plainAttributes[name] {
			out[name] = strings.Join(values, ",")
		}
	}
	return out
}
