package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// OpenOptions say what the caller knows of a file.
type OpenOptions struct {
	// ETag is the version that the caller knows to be the present one, from a listing as a rule; it saves asking. A file that has another by
	// now is opened at that one.
	ETag string
	// Size is the file's size as the caller knows it, in bytes; 0: it does not. With a Fallback, such a file can be opened while the sidecar does
	// not answer; ETag is then what the Fallback is given to hold on to.
	Size int64
	// Ranges are those that will be read, if the caller knows; their pages' places are asked for, others when they are read. None: all. The file is
	// not limited to them.
	Ranges []Range
	// Fill has the caller read the origin, and put what the sidecar lacks. The sidecar then needs no mount of that name, and asks no origin.
	Fill *Fill
}

// Range is Length bytes from Offset; a Length of 0 is to the end.
type Range struct{ Offset, Length int64 }

// Fill describes a client-filled file. Its pages are shared with clients of the same trust domain that name the same kind and version.
type Fill struct {
	Kind    string       // what Version is made of, such as "etag", "hdfs-blocks", "length+mtime": 1 to 32 of a-z, 0-9, '-', '+'
	Version string       // of the file, 1 to 1,024 bytes: equal versions must mean equal bytes
	Size    int64        // of the file in bytes
	Filler  OriginReader // reads the file
}

func (f *Fill) check() error {
	if f == nil {
		return nil
	}
	ok := len(f.Kind) >= 1 && len(f.Kind) <= 32
	for _, r := range f.Kind {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '+')
	}
	switch {
	case !ok:
		return fmt.Errorf("%w: fill kind %q is not 1 to 32 of a-z, 0-9, '-', '+'", ErrInvalid, f.Kind)
	case len(f.Version) < 1 || len(f.Version) > 1024:
		return fmt.Errorf("%w: fill version of %d bytes, not 1 to 1024", ErrInvalid, len(f.Version))
	case f.Size < 0:
		return fmt.Errorf("%w: fill size %d is negative", ErrInvalid, f.Size)
	case f.Filler == nil:
		return fmt.Errorf("%w: fill without a Filler", ErrInvalid)
	}
	return nil
}

func (f *Fill) wire() *apiv1.ClientFill {
	if f == nil {
		return nil
	}
	return &apiv1.ClientFill{Kind: f.Kind, Version: f.Version, Size: f.Size}
}

// Target is a file to open.
type Target struct {
	Mount, Path string
	OpenOptions
}

func (t *Target) key() viewKey {
	k := viewKey{mount: t.Mount, path: t.Path}
	if t.Fill != nil {
		k.kind, k.version = t.Fill.Kind, t.Fill.Version
	}
	return k
}

func (t *Target) check() error {
	if t.Mount == "" || t.Path == "" {
		return fmt.Errorf("%w: mount %q, path %q: give both", ErrInvalid, t.Mount, t.Path)
	}
	for _, r := range t.Ranges {
		if r.Offset < 0 || r.Length < 0 || r.Offset > r.Offset+r.Length {
			return fmt.Errorf("%w: range of %d bytes at %d", ErrInvalid, r.Length, r.Offset)
		}
	}
	return t.Fill.check()
}

// Opened is a file that was opened, or why not.
type Opened struct {
	File *File
	Err  error
}

// Open opens a file at its present version, as fresh as the sidecar's rules demand. While what was told of it is fresh, no call is made.
func (c *Client) Open(ctx context.Context, mount, path string, o OpenOptions) (*File, error) {
	got := c.OpenAll(ctx, []Target{{Mount: mount, Path: path, OpenOptions: o}})
	return got[0].File, got[0].Err
}

// OpenAll opens files in as few calls as the sidecar allows. The answers are in the order of the targets; each has its own error.
func (c *Client) OpenAll(ctx context.Context, targets []Target) []Opened {
	out := make([]Opened, len(targets))
	var ask []int // targets that nothing fresh is known of
	for i := range targets {
		t := &targets[i]
		if err := t.check(); err != nil {
			out[i].Err = fileError("open", t.Mount, t.Path, err)
		} else if c.closed() {
			out[i].Err = fileError("open", t.Mount, t.Path, ErrClosed)
		} else if v := c.views.fresh(t.key(), t.ETag); v != nil {
			out[i].File = c.newFile(v, t.Fill)
		} else {
			ask = append(ask, i)
		}
	}
	c.openThese(ctx, targets, ask, out)
	// A file that changed while the sidecar asked about it has another version to be told of.
	c.openThese(ctx, targets, slices.DeleteFunc(ask, func(i int) bool { return !errors.Is(out[i].Err, ErrVersionChanged) }), out)
	return out
}

func (c *Client) openThese(ctx context.Context, targets []Target, ask []int, out []Opened) {
	for len(ask) > 0 {
		ask = ask[c.openSome(ctx, targets, ask, out):]
	}
}

// openSome opens as many of the targets as go into one call, and returns how many those are.
func (c *Client) openSome(ctx context.Context, targets []Target, ask []int, out []Opened) int {
	otherWay := true // for all of them
	for _, i := range ask {
		t := &targets[i]
		otherWay = otherWay && (t.Fill != nil || c.o.Fallback != nil)
	}
	p := c.patient(otherWay)
	status, err := c.session.current(ctx, p)
	if err == nil {
		ask = ask[:min(len(ask), status.maxFiles)]
	}
	files := make([]*apiv1.OpenFile, len(ask))
	for k, i := range ask {
		files[k] = openFile(&targets[i])
	}
	var answers []answer
	if err == nil {
		answers, err = c.ask(ctx, p, files)
	}
	for k, i := range ask {
		t := &targets[i]
		var a answer
		if a.err = err; err == nil {
			a = answers[k]
		}
		out[i] = c.openOne(t, a)
	}
	return len(ask)
}

func openFile(t *Target) *apiv1.OpenFile {
	f := &apiv1.OpenFile{Mount: t.Mount, Path: t.Path, Etag: t.ETag, Fill: t.Fill.wire()}
	for _, r := range t.Ranges {
		f.Ranges = append(f.Ranges, &apiv1.Range{Offset: r.Offset, Length: r.Length})
	}
	return f
}

// answer is what was told of one file, or its error.
type answer struct {
	*opened
	sent time.Time
	err  error
}

// ask makes one Open call, which also carries touches, and takes what it tells of segments.
func (c *Client) ask(ctx context.Context, p patience, files []*apiv1.OpenFile) ([]answer, error) {
	since, sent := c.session.since(), time.Now()
	request := &apiv1.OpenRequest{Files: files, Generation: since, Touches: c.touches.take(), Tag: c.o.Tag}
	var got *apiv1.OpenReply
	err := c.control.call(ctx, methodOpen, p, func(ctx context.Context, api apiv1.SidecarClient, r *reply) (err error) {
		got, err = api.Open(ctx, request, r.options()...)
		return err
	})
	if err != nil {
		return nil, err
	}
	segments := c.session.apply(ctx, since, got, p)
	if len(got.GetFiles()) != len(files) {
		return nil, c.control.unavailable(fmt.Errorf("%d files were asked for and %d answered", len(files), len(got.GetFiles())))
	}
	answers := make([]answer, len(files))
	for i, f := range got.GetFiles() {
		answers[i].sent = sent
		if e := f.GetError(); e != nil {
			answers[i].err = statusError(codeOf(e), e.GetMessage())
			continue
		}
		if answers[i].opened, err = decodeFile(f, files[i].GetMount(), segments); err != nil {
			c.counts.senseless.Add(1)
			answers[i].err = fmt.Errorf("%w: the sidecar's answer makes no sense: %w", ErrUnavailable, err)
		}
	}
	return answers, nil
}

// openOne makes a File of an answer, or of what the caller knows where there is none.
func (c *Client) openOne(t *Target, a answer) Opened {
	switch {
	case a.err == nil:
		v := c.views.put(newView(t, a), a.told)
		v.untold(spans(t.Ranges), a.told)
		return Opened{File: c.newFile(v, t.Fill)}
	case errors.Is(a.err, context.Canceled) || errors.Is(a.err, context.DeadlineExceeded) || errors.Is(a.err, ErrClosed):
	case t.Fill != nil: // the file is known all the same
		return Opened{File: c.newFile(unknownView(t, t.Fill.Version, t.Fill.Size), t.Fill)}
	case c.o.Fallback != nil && t.Size > 0 && !errors.Is(a.err, ErrNotFound):
		f := c.newFile(unknownView(t, "", t.Size), nil)
		f.direct = true
		return Opened{File: f}
	}
	return Opened{Err: fileError("open", t.Mount, t.Path, a.err)}
}

func newView(t *Target, a answer) *view {
	v := &view{key: t.key(), object: a.object, fill: t.Fill, parts: a.parts, settled: a.settled}
	v.object.Path = t.Path
	v.table.Store(a.table)
	v.trusts.Store(a.fresh != 0)
	switch {
	case a.fresh < 0 || t.Fill != nil:
		v.fresh.Store(forever)
	case a.fresh > 0:
		v.fresh.Store(a.sent.Add(a.fresh).UnixNano()) // from when it was asked, not answered
	default:
		v.fresh.Store(longAgo)
	}
	return v
}

// unknownView is of a file that only the caller knows.
func unknownView(t *Target, version string, size int64) *view {
	v := &view{key: t.key(), fill: t.Fill, settled: size, object: Object{Mount: t.Mount, Path: t.Path, Version: version, ETag: t.ETag, Size: size}}
	v.table.Store(&table{})
	return v
}

func spans(ranges []Range) []span {
	var out []span
	for _, r := range ranges {
		to := r.Offset + r.Length
		if r.Length == 0 {
			to = forever
		}
		out = addSpan(out, span{r.Offset, to})
	}
	return out
}
