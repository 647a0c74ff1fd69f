package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/alio-lake/alio/affinity/follow"
	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/client"
)

// Fleet reads through the members of a ring. All methods may be called in parallel.
type Fleet struct {
	o      Options
	conn   *grpc.ClientConn // to who tells the ring
	ring   *follow.Follower
	counts *counts

	mu      sync.Mutex
	members map[string]*member // by address
	closed  bool
}

// New makes a Fleet. It starts nothing and connects to nothing: Run does.
func New(o Options) (*Fleet, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	o = o.withDefaults()
	conn, err := dial(o)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	f := &Fleet{o: o, conn: conn, counts: newCounts(), members: map[string]*member{}}
	if f.ring, err = follow.New(follow.Options{Service: apiv1.NewAffinityClient(conn), Log: o.Logger}); err == nil && o.Registerer != nil {
		err = o.Registerer.Register(f.counts)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fleet: %w", err), conn.Close())
	}
	return f, nil
}

// Run watches the ring and lets go of members that are not read from, until the context ends. While nobody tells the ring, the last epoch stays in force.
func (f *Fleet) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { f.ring.Run(ctx) })
	tick := time.NewTicker(max(f.o.Idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			f.letGo(now.Add(-f.o.Idle))
		}
	}
}

// Close lets go of all connections. Reads that are under way end or fail; later ones fail with client.ErrClosed. It is safe twice.
func (f *Fleet) Close() error {
	f.mu.Lock()
	again := f.closed
	f.closed = true
	f.mu.Unlock()
	if again {
		return nil
	}
	if f.o.Registerer != nil {
		f.o.Registerer.Unregister(f.counts)
	}
	return errors.Join(f.letGo(time.Time{}), f.conn.Close())
}

// Open opens a file at its present version, as fresh as the rules of the member demand that owns its beginning. o is as for client.Client; its Ranges say nothing here, and it
// has no Fill.
func (f *Fleet) Open(ctx context.Context, mount, path string, o client.OpenOptions) (*File, error) {
	if o.Fill != nil {
		return nil, fmt.Errorf("open %q in %q: %w: files of a fleet are read by its members, not filled", path, mount, client.ErrInvalid)
	}
	file := &File{fleet: f, object: client.Object{Mount: mount, Path: path, ETag: o.ETag, Size: o.Size}, at: map[*member]*client.File{}}
	err := f.each(ctx, mount, path, 0, func(m *member) error {
		got, err := m.client.Open(ctx, mount, path, client.OpenOptions{ETag: o.ETag, Ranges: nothing})
		if err == nil {
			file.object, file.known = got.Object(), true
			file.at[m] = got
		}
		return err
	})
	switch {
	case err == nil || f.o.Fallback != nil && o.Size > 0 && passed(err):
		return file, nil // where nobody answers, what the caller knows is enough for the Fallback
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("open %q in %q: %w", path, mount, err)
}

// nothing has no places told of pages that cannot be read here anyway, but those of the first byte's.
var nothing = []client.Range{{Offset: 0, Length: 1}}

// passed tells whether an error is one of members, and not what the origin says of the file: then somebody else is asked.
func passed(err error) bool {
	for _, truth := range []error{client.ErrNotFound, client.ErrVersionChanged, client.ErrInvalid, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, truth) {
			return false
		}
	}
	return true
}

// each calls ask for the owners of a file's section in order, until one has an answer, and returns that, or why there is none.
func (f *Fleet) each(ctx context.Context, mount, path string, off int64, ask func(*member) error) error {
	owners, err := f.owners(ctx, ring.Split{Mount: mount, Path: path, Offset: off})
	if err != nil {
		return err
	}
	var failed string
	for i, owner := range owners {
		m, err := f.acquire(owner)
		if err != nil {
			return err
		}
		err = ask(m)
		f.release(m)
		f.counts.asked(i, err)
		if err == nil || !passed(err) {
			return err
		}
		failed += fmt.Sprintf("; %s: %v", owner, err)
	}
	return fmt.Errorf("%w: none of the section's owners could answer%s", client.ErrUnavailable, failed)
}

// owners are the addresses of the doors of those who own a section, in order. It waits for the first epoch.
func (f *Fleet) owners(ctx context.Context, s ring.Split) ([]string, error) {
	if err := f.awaitEpoch(ctx); err != nil {
		return nil, err
	}
	all, err := f.ring.Owners(s, f.o.Owners)
	if errors.Is(err, follow.ErrNoEpoch) {
		return nil, fmt.Errorf("%w: %w", client.ErrUnavailable, err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", client.ErrInvalid, err)
	}
	var out []string
	for _, m := range all[:min(len(all), f.o.Owners)] {
		if a := f.door(m); a != "" && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: none of the owners %s says where its gRPC door is: set affinity.sidecar in their configuration, or Port here", client.ErrUnavailable, names(all))
	}
	return out, nil
}

func (f *Fleet) awaitEpoch(ctx context.Context) error {
	if f.ring.Epoch() != nil {
		return nil
	}
	changed := f.ring.Changed()
	if f.ring.Epoch() != nil {
		return nil
	}
	late := time.NewTimer(f.o.FirstEpoch)
	defer late.Stop()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return fmt.Errorf("%w: %s told no ring within %v (does Fleet.Run run, and has one of them an affinity section?)", client.ErrUnavailable, strings.Join(f.o.Members, ", "), f.o.FirstEpoch)
	}
}

// door is where a member's gRPC door is; "": it does not say.
func (f *Fleet) door(m ring.Member) string {
	if f.o.Port == 0 {
		return m.Sidecar
	}
	for _, a := range []string{m.Sidecar, m.Worker} {
		if host, _, err := net.SplitHostPort(a); err == nil {
			return net.JoinHostPort(host, strconv.Itoa(f.o.Port))
		}
	}
	return ""
}

func names(members []ring.Member) string {
	var out []string
	for _, m := range members {
		out = append(out, m.Name)
	}
	return strings.Join(out, ", ")
}
