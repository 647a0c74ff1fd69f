package sidecar

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// Store is what stands behind a path, as far as a door has to know it for what cannot be answered from the cache.
type Store struct {
	S3      bool  // it speaks S3: Forward sends requests on as they are
	Writer  bool  // it takes Put and Delete
	Refuses error // why it takes no writes from clients, of kind origin.ErrDenied; nil: it takes them
}

// Store tells what stands behind a path of a mount; "" is the mount as a whole. It asks nobody.
func (s *Sidecar) Store(mount, path string) (Store, error) {
	m, err := s.mount(mount)
	if err != nil {
		return Store{}, err
	}
	return storeOf(m.Origin, path), nil
}

// storeOf looks through what several origins are put together by, and then through the wrappers, which forward whatever they wrap.
func storeOf(o origin.Origin, path string) Store {
	var st Store
	for o != nil {
		if r, ok := o.(interface{ Refuses(op, path string) error }); ok && st.Refuses == nil {
			st.Refuses = r.Refuses("write", path)
		}
		switch w := o.(type) {
		case interface {
			At(path string) (origin.Origin, string)
		}:
			o, path = w.At(path)
		case interface{ Unwrap() origin.Origin }:
			o = w.Unwrap()
		default:
			_, st.S3 = o.(origin.Forwarder)
			_, st.Writer = o.(origin.Writer)
			return st
		}
	}
	return st
}

// Forward sends a request to the mount's origin as it is, but for signature, host and path. A request that may change data raises a
// fence on its path before it is sent and after it is answered, or has failed (it may have arrived all the same): answers sent
// for earlier are dropped, here and in the listings that could name the path, and after it also by those sidecars whom others ask about it.
func (s *Sidecar) Forward(ctx context.Context, mount, path string, r *http.Request) (*http.Response, error) {
	m, err := s.mount(mount)
	if err != nil {
		return nil, err
	}
	f, ok := origin.As[origin.Forwarder](m.Origin)
	if !ok {
		return nil, origin.NewError(origin.ErrUnsupported, "forward", path,
			fmt.Errorf("the origin of mount %q does not speak S3", mount))
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.fence(m, path)
		defer s.written(m, path)
	}
	s.metrics.forwards.Inc()
	return f.Forward(ctx, path, r)
}

// writer finds who writes below a mount.
func (s *Sidecar) writer(op, mount, path string) (*mounted, origin.Writer, error) {
	m, err := s.mount(mount)
	if err != nil {
		return nil, nil, err
	}
	w, ok := origin.As[origin.Writer](m.Origin)
	if !ok {
		return nil, nil, origin.NewError(origin.ErrUnsupported, op, path, fmt.Errorf("the origin of mount %q takes no writes this way", mount))
	}
	return m, w, nil
}

// Put writes an object of size bytes through an origin that does not speak S3, with fences as Forward raises them, also around one that is
// refused: that what opts ask for does not hold may be news here. It never repeats itself: body can be read once.
func (s *Sidecar) Put(ctx context.Context, mount, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	m, w, err := s.writer("put", mount, path)
	if err != nil {
		return origin.Object{}, err
	}
	s.fence(m, path)
	defer s.written(m, path)
	s.metrics.forwards.Inc()
	return w.Put(ctx, path, body, size, opts)
}

// Delete removes an object through an origin that does not speak S3, with fences as Forward raises them.
func (s *Sidecar) Delete(ctx context.Context, mount, path string) error {
	m, w, err := s.writer("delete", mount, path)
	if err != nil {
		return err
	}
	s.fence(m, path)
	defer s.written(m, path)
	s.metrics.forwards.Inc()
	return w.Delete(ctx, path)
}

// fence makes everybody who comes from now on ask again about a path, and waits until that outlives the process.
func (s *Sidecar) fence(m *mounted, path string) {
	full := m.key(path)
	durable := s.objects.Fence(full)
	s.ahead.changed(m, path)
	s.lists.FenceSome(func(key string, kept *freshness.Answer[origin.Listing]) bool {
		return strings.HasPrefix(full, prefixOf(key)) && !endsBefore(key, kept, path)
	})
	s.metrics.fences.Inc()
	durable()
}
