package namespace

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/alio-lake/alio/origin"
)

// Origin is the origins mounted at and below one first path component. All methods may be called in parallel. Objects, listings and errors
// speak of outer paths, those below the first component; versions, ETags and part ids are those of the origin that holds the object, so that one
// origin mounted in two places shares its pages.
type Origin struct {
	mounts   []*mount  // by path; the one at "" first, if there is one
	segments []segment // who answers for which names, in their order
	root     string
}

// mount is an origin at a path, "" or without slashes at its ends.
type mount struct {
	path   string
	origin origin.Origin
}

// below is what names in the mount begin with.
func (m *mount) below() string {
	if m.path == "" {
		return ""
	}
	return m.path + "/"
}

var (
	_ origin.Forwarder = (*Origin)(nil)
	_ origin.Writer    = (*Origin)(nil)
	_ origin.Rooted    = (*Origin)(nil)
)

var (
	errNotS3    = errors.New("the origin does not speak S3")
	errNoWrites = errors.New("the origin takes no writes this way")
)

// New puts origins together by their paths below the first component: "" for the one that is mounted there itself (there need not be one),
// "archive" or "archive/2019" for others. The error names every path that cannot be one.
func New(mounts map[string]origin.Origin) (*Origin, error) {
	o := &Origin{}
	var faults []error
	if len(mounts) == 0 {
		faults = append(faults, errors.New("namespace: there are no mounts"))
	}
	for _, path := range slices.Sorted(maps.Keys(mounts)) {
		faults = append(faults, checkPath(path))
		o.mounts = append(o.mounts, &mount{path, mounts[path]})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	o.segments, o.root = cut(o.mounts), rootOf(o.mounts)
	return o, nil
}

func checkPath(path string) error {
	for part := range strings.SplitSeq(path, "/") {
		if path != "" && (part == "" || part == "." || part == "..") {
			return fmt.Errorf("namespace: mount path %q has an empty, . or .. part", path)
		}
	}
	return nil
}

// find returns the mount that answers for a path; nil if there is none.
func (o *Origin) find(path string) *mount {
	var best *mount
	for _, m := range o.mounts {
		if strings.HasPrefix(path, m.below()) && (best == nil || len(m.path) > len(best.path)) {
			best = m
		}
	}
	return best
}

// At returns the origin that answers for a path, and the path in it. It is nil if none is mounted there. At "", the whole, it is the origin
// mounted there if nothing is mounted below it.
func (o *Origin) At(path string) (origin.Origin, string) {
	m := o.find(path)
	if m == nil || path == "" && len(o.mounts) > 1 {
		return nil, ""
	}
	return m.origin, path[len(m.below()):]
}

// route is At for an operation on an object. What has no mount, or is a mount point itself, names nothing.
func (o *Origin) route(op, path string) (*mount, string, error) {
	m := o.find(path)
	switch {
	case path == "":
		return nil, "", origin.NewError(origin.ErrInvalid, op, path, errors.New("the path is empty"))
	case m == nil:
		return nil, "", origin.NewError(nothing(op), op, path, fmt.Errorf("no origin is mounted there; mounts are at %s", o.paths()))
	case path == m.below():
		return nil, "", origin.NewError(nothing(op), op, path, errors.New("an origin is mounted there: name an object below it"))
	}
	return m, path[len(m.below()):], nil
}

// nothing is the kind of error of a place where no object can be.
func nothing(op string) error {
	if op == "put" || op == "delete" {
		return origin.ErrInvalid
	}
	return origin.ErrNotFound
}

func (o *Origin) paths() string {
	quoted := make([]string, len(o.mounts))
	for i, m := range o.mounts {
		quoted[i] = fmt.Sprintf("%q", m.path)
	}
	return strings.Join(quoted, ", ")
}

// outer makes an error speak of the outer path.
func outer(err error, op, path string) error {
	var e *origin.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e == err:
		again := *e
		again.Path = path
		return &again
	}
	again := origin.NewError(origin.Kind(err), op, path, err)
	if e != nil {
		again.RetryAfter, again.Size = e.RetryAfter, e.Size
	}
	return again
}

// Stat asks the origin that holds the path.
func (o *Origin) Stat(ctx context.Context, path string) (origin.Object, error) {
	m, inner, err := o.route("stat", path)
	if err != nil {
		return origin.Object{}, err
	}
	obj, err := m.origin.Stat(ctx, inner)
	if err != nil {
		return origin.Object{}, outer(err, "stat", path)
	}
	obj.Path = path
	return obj, nil
}

// Read reads from the origin that holds the path.
func (o *Origin) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	if err := req.Validate(); err != nil {
		return origin.Content{}, err
	}
	path := req.Path
	m, inner, err := o.route("read", path)
	if err != nil {
		return origin.Content{}, err
	}
	req.Path = inner
	c, err := m.origin.Read(ctx, req)
	if err != nil {
		return origin.Content{}, outer(err, "read", path)
	}
	c.Object.Path = path
	return c, nil
}

// Forward sends the request to the origin that holds the path. A request that is about the whole cannot be sent on once another origin is mounted
// below: it would speak of one of them only.
func (o *Origin) Forward(ctx context.Context, path string, r *http.Request) (*http.Response, error) {
	at, inner := o.At(path)
	if at == nil && path == "" {
		return nil, origin.NewError(origin.ErrUnsupported, "forward", path, fmt.Errorf("several origins are mounted here, at %s", o.paths()))
	}
	if path != "" {
		if _, _, err := o.route("forward", path); err != nil {
			return nil, err
		}
	}
	f, ok := origin.As[origin.Forwarder](at)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, "forward", path, errNotS3)
	}
	resp, err := f.Forward(ctx, inner, r)
	return resp, outer(err, "forward", path)
}

// writer finds who writes a path.
func (o *Origin) writer(op, path string) (origin.Writer, string, error) {
	m, inner, err := o.route(op, path)
	if err != nil {
		return nil, "", err
	}
	w, ok := origin.As[origin.Writer](m.origin)
	if !ok {
		return nil, "", origin.NewError(origin.ErrUnsupported, op, path, errNoWrites)
	}
	return w, inner, nil
}

// Put writes to the origin that holds the path.
func (o *Origin) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	w, inner, err := o.writer("put", path)
	if err != nil {
		return origin.Object{}, err
	}
	obj, err := w.Put(ctx, inner, body, size, opts)
	if err != nil {
		return origin.Object{}, outer(err, "put", path)
	}
	obj.Path = path
	return obj, nil
}

// Delete removes from the origin that holds the path.
func (o *Origin) Delete(ctx context.Context, path string) error {
	w, inner, err := o.writer("delete", path)
	if err != nil {
		return err
	}
	return outer(w.Delete(ctx, inner), "delete", path)
}

// Root says where the paths of every origin begin. If one of them does not say it, it is what no other Origin has: then nothing that is known of this one
// is taken for known of another, or of the same after a restart.
func (o *Origin) Root() string { return o.root }

func rootOf(mounts []*mount) string {
	var roots strings.Builder
	for _, m := range mounts {
		r, ok := origin.As[origin.Rooted](m.origin)
		if !ok {
			return rand.Text()
		}
		fmt.Fprintf(&roots, "%q=%q ", m.path, r.Root())
	}
	return roots.String()
}

// ID names every origin and where it is mounted. Part ids do not begin with it: they are those of the origins themselves.
func (o *Origin) ID() string {
	parts := make([]string, len(o.mounts))
	for i, m := range o.mounts {
		parts[i] = fmt.Sprintf("%q=%s", m.path, m.origin.ID())
	}
	return "namespace(" + strings.Join(parts, " ") + ")"
}
