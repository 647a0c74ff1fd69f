// Package origin is the vocabulary of the systems of record that Alio caches: what an object is, what its version means, how it
// is read at exactly one version, and the few kinds of error there are. It holds no client of any storage system: hdfs, s3 and
// gcs each implement Origin in their own package, and the wrappers beside this file (retry, limit, meter) add behaviour by
// wrapping. Start at Origin, then Object.
package origin

import (
	"context"
	"io"
	"time"
)

// Origin reads one system of record (an S3 bucket, a GCS bucket, an HDFS cluster). All methods may be called in parallel. Errors
// carry one of the kinds of errors.go, wrapped with the path they speak of.
type Origin interface {
	// Stat answers the object's present version. A path that names nothing is ErrNotFound.
	Stat(ctx context.Context, path string) (Object, error)

	// Read opens a range of an object. With req.Version set, every byte comes from that version, which is the present one, or the
	// error is ErrVersionChanged: a read that succeeds confirms its version, so an old one that the store still keeps is not answered. With
	// no version the present one is read, and the answer says which: the first read of an unknown object is also its Stat. The caller
	// closes Content.Body.
	Read(ctx context.Context, req ReadRequest) (Content, error)

	// List answers one page of the objects below a prefix, in the order of their paths' bytes.
	List(ctx context.Context, req ListRequest) (Listing, error)

	// ID names the system of record itself (endpoint and bucket, block pool, …), never an alias of it: part ids start with it.
	ID() string
}

// Version changes if and only if the bytes of an object may have changed. It is opaque: only equality means anything. The empty
// version means that the origin cannot name one; such an object is served but never cached.
type Version string

// Object is one file of an origin at one version.
type Object struct {
	Path    string // within the origin, without a leading slash
	Version Version
	Size    int64     // bytes
	ModTime time.Time // as the origin tells it; never part of a key
	ETag    string    // as the origin spells it, with its quotes; "" where it has none
	// Parts are the immutable pieces of the object, in order and without gaps. One part at offset 0 on S3 and GCS.
	Parts []Part
	// Attributes are what only a Stat or a Read tells (an S3 object's Content-Type, user metadata, …), by canonical HTTP header
	// name. nil means unknown (the object came from a listing), empty means none.
	Attributes map[string]string
}

// Part is an immutable piece of an object. Its ID names content: equal ids, equal bytes, for ever.
type Part struct {
	// ID is "" where the bytes may still change (a block under construction): they are read through, never cached. Only parts that have no id
	// either follow such a part, and its object has no ETag: a strong one would name bytes that are not final.
	ID     string
	Offset int64 // of the part within the object
	Length int64
}

// Settled returns how many bytes, from the object's start, lie in parts that have an id: what may be cached. The rest may still change.
func (o *Object) Settled() int64 {
	for i := len(o.Parts) - 1; i >= 0; i-- {
		if p := &o.Parts[i]; p.ID != "" {
			return max(0, min(p.Offset+p.Length, o.Size))
		}
	}
	return 0
}

// Unfinished tells whether the object is still being written, as far as the origin says: it ends with a part that has no id.
func (o *Object) Unfinished() bool { return len(o.Parts) > 0 && o.Parts[len(o.Parts)-1].ID == "" }

// WholeRange as ReadRequest.Length asks for everything from Offset to the object's end.
const WholeRange = -1

// ReadRequest says what to read. The zero Offset and Length WholeRange read the whole object.
type ReadRequest struct {
	Path    string
	Version Version // "" reads the present version
	// ETag is the validator that belongs to Version, as Object.ETag had it; an origin whose conditions are ETags sends it.
	ETag   string
	Offset int64 // bytes from the start
	Length int64 // bytes, clamped to the object's end; WholeRange reads to the end; 0 is invalid
	Suffix int64 // if > 0: the last Suffix bytes (the whole object if it is shorter); Offset and Length are ignored
}

// Content is a range of an object at one version.
type Content struct {
	Object Object
	Offset int64         // of the first byte of Body within the object
	Length int64         // bytes that Body holds; a body that ends earlier fails with ErrUnavailable, never with io.EOF
	Body   io.ReadCloser // never nil
}

// ListRequest asks for one page of a listing.
type ListRequest struct {
	Prefix     string
	Delimiter  string // "" lists every object below Prefix; "/" folds deeper ones into CommonPrefixes
	StartAfter string // list paths greater than this; ignored when Token is set
	// Folded says that StartAfter is a common prefix which the page before ended with, so that nothing below it is wanted. An origin need not know of it: who asks
	// drops what is listed again.
	Folded  bool
	Token   string // Listing.NextToken of the page before
	MaxKeys int    // at most this many objects and common prefixes; 0: the origin's default (1000 on S3)
	// RestoreStatus asks where the restoration of archived objects stands. Trino asks it of every listing, to leave out what cannot
	// be read. Origins that archive nothing leave Entry.Restore nil.
	RestoreStatus bool
}

// Listing is one page of a listing.
type Listing struct {
	Entries        []Entry // in the order of their paths
	CommonPrefixes []string
	NextToken      string // "" on the last page
}

// Entry is an object in a listing, with what a listing tells of it.
type Entry struct {
	Object
	StorageClass string
	Restore      *Restore // nil: not archived, never restored, or not asked for
}

// Restore is where the restoration of an archived object stands.
type Restore struct {
	InProgress bool
	Expires    time.Time // when the restored copy goes; zero while there is none
}
