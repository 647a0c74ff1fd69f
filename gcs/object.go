package gcs

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"

	"github.com/alio-lake/alio/origin"
)

// describe makes an Object from what every answer tells. An object without a generation has no version.
func (o *Origin) describe(path string, generation, size int64, modified time.Time) origin.Object {
	obj := origin.Object{Path: path, Size: size, ModTime: modified.UTC().Truncate(time.Second)} // the XML API tells whole seconds
	if generation > 0 {
		obj.Version, obj.ETag = version(generation, size), etag(generation)
		obj.Parts = []origin.Part{{ID: fmt.Sprintf("%s/%q@%s", o.id, o.opts.Prefix+path, obj.Version), Length: size}}
	}
	return obj
}

// stated is an object as its metadata tells it.
func (o *Origin) stated(path string, a *storage.ObjectAttrs) origin.Object {
	obj := o.describe(path, a.Generation, a.Size, a.Updated)
	obj.Attributes = map[string]string{}
	set := func(name, value string) {
		if value != "" {
			obj.Attributes[name] = value
		}
	}
	set("Content-Type", a.ContentType)
	set("Content-Encoding", a.ContentEncoding)
	set("Content-Language", a.ContentLanguage)
	set("Content-Disposition", a.ContentDisposition)
	set("Cache-Control", a.CacheControl)
	for name, value := range a.Metadata {
		set(http.CanonicalHeaderKey(userMetadata+name), value)
	}
	return obj
}

// answered is an object as the headers of a read tell it.
func (o *Origin) answered(path string, h http.Header, size int64) origin.Object {
	generation, _ := strconv.ParseInt(h.Get("X-Goog-Generation"), 10, 64) // what cannot be read is no version
	modified, _ := http.ParseTime(h.Get("Last-Modified"))                 // nothing depends on it
	obj := o.describe(path, generation, size, modified)
	obj.Attributes = map[string]string{}
	for name, values := range h {
		if own, ok := strings.CutPrefix(name, "X-Goog-Meta-"); ok {
			name = userMetadata + own
		} else if !plainAttributes[name] {
			continue
		}
		obj.Attributes[name] = strings.Join(values, ",")
	}
	return obj
}

// userMetadata is what the names of an object's user metadata begin with, for S3 clients to find them.
const userMetadata = "X-Amz-Meta-"

// plainAttributes are the headers that belong to an object beside its user metadata.
var plainAttributes = map[string]bool{
	"Content-Type": true, "Content-Encoding": true, "Content-Language": true, "Content-Disposition": true, "Cache-Control": true,
}

// version names a version by generation and size. The generation alone would do for an object that was written whole; the bytes of an object that
// is appended to (in a zonal bucket) grow under one generation.
func version(generation, size int64) origin.Version {
	return origin.Version(strconv.FormatInt(generation, 10) + "/" + strconv.FormatInt(size, 10))
}

func etag(generation int64) string { return `"` + strconv.FormatInt(generation, 10) + `"` }

// pinned is the generation that a request asks for, 0 for the present one.
func pinned(req origin.ReadRequest) int64 {
	g, _, _ := strings.Cut(string(req.Version), "/")
	if g == "" {
		g = strings.Trim(req.ETag, `"`)
	}
	n, err := strconv.ParseInt(g, 10, 64)
	if err != nil || n < 0 {
		return 0 // a version of nobody's; whatever is read differs from it
	}
	return n
}
