// Package mem is an origin in memory: the reference that the conformance suite is first held against, and what tests of everything
// above an origin read from. It is not a store for use: nothing bounds what is put into it. Start at New, then Put; PutBlocks makes objects of many
// parts that grow, as HDFS has them.
package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alio-lake/alio/origin"
)

// defaultKeys is the page size of a listing that names none, S3's.
const defaultKeys = 1000

// versions counts the Puts of the whole process, so that two origins of one name never give one version to different bytes.
var versions atomic.Int64

// Origin keeps objects in memory. All methods may be called in parallel; a body that was opened keeps its version whatever is put
// later.
type Origin struct {
	name string

	mu           sync.RWMutex
	objects      map[string]stored
	hideVersions bool
}

type stored struct {
	object origin.Object
	data   []byte   // never changed
	blocks *blocked // nil: one part
}

// New returns an empty origin. name is the system of record it stands for: it is part of ID and of every part id.
func New(name string) *Origin {
	return &Origin{name: name, objects: map[string]stored{}}
}

// ID names the origin.
func (o *Origin) ID() string { return fmt.Sprintf("mem:%q", o.name) }

// Root implements origin.Rooted.
func (o *Origin) Root() string { return "" }

// Put stores a copy of data under path at a version never given before, even if the bytes are the same, and returns the object.
func (o *Origin) Put(path string, data []byte) origin.Object { return o.PutWith(path, data, nil) }

// PutWith is Put with attributes, which are copied.
func (o *Origin) PutWith(path string, data []byte, attributes map[string]string) origin.Object {
	obj, _ := o.put(path, data, attributes, false)
	return obj
}

// put stores a copy of data, and reports whether it did: with ifAbsent it does so only where nothing is.
func (o *Origin) put(path string, data []byte, attributes map[string]string, ifAbsent bool) (origin.Object, bool) {
	n := versions.Add(1)
	obj := origin.Object{
		Path:       path,
		Version:    origin.Version(fmt.Sprintf("v%d", n)),
		Size:       int64(len(data)),
		ModTime:    time.Now().UTC().Truncate(time.Second),
		ETag:       fmt.Sprintf(`"e%d"`, n),
		Attributes: map[string]string{},
	}
	maps.Copy(obj.Attributes, attributes)
	obj.Parts = []origin.Part{{ID: fmt.Sprintf("%s/%q@%s", o.ID(), path, obj.Version), Length: obj.Size}}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, there := o.objects[path]; there && ifAbsent {
		return origin.Object{}, false
	}
	o.objects[path] = stored{object: obj, data: bytes.Clone(data)}
	return o.seen(obj), true
}

// Delete removes path and reports whether it was there.
func (o *Origin) Delete(path string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.objects[path]
	delete(o.objects, path)
	return ok
}

// HideVersions makes the origin one that cannot name versions (on), as an S3 server without ETags: objects are answered with no version, no ETag
// and no parts.
func (o *Origin) HideVersions(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hideVersions = on
}

// seen is the object as a caller gets it: its own copy, without a version if those are hidden. The caller holds mu.
func (o *Origin) seen(obj origin.Object) origin.Object {
	obj.Attributes = maps.Clone(obj.Attributes)
	obj.Parts = append([]origin.Part(nil), obj.Parts...)
	if o.hideVersions {
		obj.Version, obj.ETag, obj.Parts = "", "", nil
	}
	return obj
}

func (o *Origin) get(op, path string) (origin.Object, []byte, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	s, ok := o.objects[path]
	if !ok {
		return origin.Object{}, nil, origin.NewError(origin.ErrNotFound, op, path, nil)
	}
	return o.seen(s.object), s.data, nil
}

// Stat answers the object's present version.
func (o *Origin) Stat(ctx context.Context, path string) (origin.Object, error) {
	if err := ctx.Err(); err != nil {
		return origin.Object{}, origin.NewError(origin.ErrUnavailable, "stat", path, err)
	}
	if path == "" {
		return origin.Object{}, origin.NewError(origin.ErrInvalid, "stat", path, errors.New("the path is empty"))
	}
	obj, _, err := o.get("stat", path)
	return obj, err
}

// Read opens a range of an object.
func (o *Origin) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	if err := req.Validate(); err != nil {
		return origin.Content{}, err
	}
	if err := ctx.Err(); err != nil {
		return origin.Content{}, origin.NewError(origin.ErrUnavailable, "read", req.Path, err)
	}
	obj, data, err := o.get("read", req.Path)
	if err != nil {
		return origin.Content{}, err
	}
	if req.Version != "" && req.Version != obj.Version || req.ETag != "" && req.ETag != obj.ETag {
		return origin.Content{}, origin.NewError(origin.ErrVersionChanged, "read", req.Path,
			fmt.Errorf("asked for version %q, the object is at %q", req.Version, obj.Version))
	}
	off, n, err := req.Resolve(obj.Size)
	if err != nil {
		return origin.Content{}, err
	}
	b := &body{ctx: ctx, path: req.Path, r: bytes.NewReader(data[off : off+n])}
	return origin.Content{Object: obj, Offset: off, Length: n, Body: b}, nil
}

// body reads one range; it fails once its request's context is done, as a network body would.
type body struct {
	ctx    context.Context
	path   string
	r      *bytes.Reader
	closed atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, origin.NewError(origin.ErrInvalid, "read", b.path, errors.New("the body was closed"))
	}
	if err := b.ctx.Err(); err != nil {
		return 0, origin.NewError(origin.ErrUnavailable, "read", b.path, err)
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		return n, origin.NewError(origin.ErrUnavailable, "read", b.path, err)
	}
	return n, err
}

func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}

// List answers one page of a listing. StartAfter speaks of paths, before they are folded: a common prefix is listed while any path
// below it is greater than StartAfter.
func (o *Origin) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	if err := ctx.Err(); err != nil {
		return origin.Listing{}, origin.NewError(origin.ErrUnavailable, "list", req.Prefix, err)
	}
	limit := req.MaxKeys
	if limit < 0 {
		return origin.Listing{}, origin.NewError(origin.ErrInvalid, "list", req.Prefix, fmt.Errorf("MaxKeys %d is negative", limit))
	}
	if limit == 0 {
		limit = defaultKeys
	}
	after, folded, err := start(req)
	if err != nil {
		return origin.Listing{}, err
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	var out origin.Listing
	last, count := "", 0
	for _, p := range o.below(req.Prefix) {
		if p <= after && after != "" || folded != "" && strings.HasPrefix(p, folded) {
			continue
		}
		name, isPrefix := fold(p, req.Prefix, req.Delimiter)
		if isPrefix && len(out.CommonPrefixes) > 0 && out.CommonPrefixes[len(out.CommonPrefixes)-1] == name {
			continue
		}
		if count == limit {
			out.NextToken = last
			return out, nil
		}
		count++
		if isPrefix {
			out.CommonPrefixes = append(out.CommonPrefixes, name)
			last = "p" + name
			continue
		}
		obj := o.seen(o.objects[p].object)
		obj.Attributes = nil
		out.Entries = append(out.Entries, origin.Entry{Object: obj, StorageClass: "STANDARD"})
		last = "k" + p
	}
	return out, nil
}

// start says after which path a page begins, and which prefix the page before has already folded.
func start(req origin.ListRequest) (after, folded string, err error) {
	switch {
	case req.Token == "":
		return req.StartAfter, "", nil
	case req.Token[0] == 'k':
		return req.Token[1:], "", nil
	case req.Token[0] == 'p':
		return req.Token[1:], req.Token[1:], nil
	}
	return "", "", origin.NewError(origin.ErrInvalid, "list", req.Prefix, fmt.Errorf("the token %q is not one of ours", req.Token))
}

// fold returns what p is listed as: itself, or the prefix up to the first delimiter behind the listing's prefix.
func fold(p, prefix, delimiter string) (name string, isPrefix bool) {
	if delimiter == "" {
		return p, false
	}
	rest := p[len(prefix):]
	i := strings.Index(rest, delimiter)
	if i < 0 {
		return p, false
	}
	return prefix + rest[:i+len(delimiter)], true
}

// below returns the paths with a prefix in the order of their bytes. The caller holds mu.
func (o *Origin) below(prefix string) []string {
	var paths []string
	for p := range o.objects {
		if strings.HasPrefix(p, prefix) {
			paths = append(paths, p)
		}
	}
	sort.Strings(paths)
	return paths
}
