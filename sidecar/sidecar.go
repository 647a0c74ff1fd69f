package sidecar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
	"github.com/alio-lake/alio/sidecar/prefetch"
)

// Defaults of Options, in bytes.
const (
	DefaultMetadataMemory = 64 << 20
	DefaultLayoutMemory   = 32 << 20
	DefaultFillSpan       = 16 << 20
	DefaultRunMemory      = 64 << 20
)

// Pages is what the sidecar needs of the page cache. *cache.Cache is one.
type Pages interface {
	Open(ctx context.Context, r cache.Request) (*cache.Reader, error)
	Lookup(ctx context.Context, obj *origin.Object, off, length int64) (cache.Buf, bool)
	Resident(obj *origin.Object, layout cache.Layout, off, length int64) bool
	Hits
	Gifts
}

// Gifts are the parts of a page cache that bring it pages that no reader of it has asked for.
type Gifts interface {
	Offer(obj *origin.Object, layout cache.Layout, off int64, data []byte)
	Ahead(ctx context.Context, r cache.Request, claim func(*cache.Page) bool, ended func(*cache.Page, cache.AheadOutcome)) (next int64, err error)
}

// Hits are the parts of a page cache that a hit needs.
type Hits interface {
	Has(k cache.Key) bool
	Heat(k cache.Key) (heat uint8, ok bool)
	ReadPage(ctx context.Context, p *cache.Page, off, n int64) (cache.Buf, bool)
}

// Options configure a Sidecar.
type Options struct {
	// Mounts are the origins by mount name, wrapped as the operator wants them (retry, limits, meter).
	Mounts map[string]origin.Origin
	// Pages is the page cache. Required.
	Pages Pages
	// Rules are the operator's freshness rules; the built-in ones follow them.
	Rules []freshness.Rule
	// MetadataMemory bounds what is kept of objects and listings, in bytes (default 64 MiB: about 150,000 objects).
	MetadataMemory int64
	// Metadata keeps what is known of objects beyond MetadataMemory and over restarts. nil: nothing does.
	Metadata Metadata
	// LayoutMemory bounds the layouts kept, in bytes (default 32 MiB).
	LayoutMemory int64
	// FillSpan is the most bytes that a first read of an unknown object asks for in one request (default 16 MiB).
	FillSpan int64
	// RunMemory bounds the bytes of first reads that are held while their readers take them (default 64 MiB). Beyond it, first
	// reads cost a Stat more instead of memory.
	RunMemory int64
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	Logger     zerolog.Logger
	// Peers are other sidecars that may be asked before an origin; nil: there are none.
	Peers Peers
	// Prefetch says what is fetched before readers ask for it. The zero value: nothing.
	Prefetch prefetch.Settings
}

func (o *Options) setDefaults() {
	if o.MetadataMemory == 0 {
		o.MetadataMemory = DefaultMetadataMemory
	}
	if o.LayoutMemory == 0 {
		o.LayoutMemory = DefaultLayoutMemory
	}
	if o.FillSpan == 0 {
		o.FillSpan = DefaultFillSpan
	}
	if o.RunMemory == 0 {
		o.RunMemory = max(DefaultRunMemory, o.FillSpan)
	}
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var faults []error
	_, err := newNamespace(nil, o.Mounts, o.Rules)
	faults = append(faults, err)
	if o.Pages == nil {
		faults = append(faults, errors.New("no page cache"))
	}
	for what, n := range map[string]int64{"metadata memory": o.MetadataMemory, "layout memory": o.LayoutMemory, "fill span": o.FillSpan} {
		if n < 0 {
			faults = append(faults, fmt.Errorf("%s is negative: %d", what, n))
		}
	}
	faults = append(faults, o.Prefetch.Validate())
	if o.RunMemory < o.FillSpan {
		faults = append(faults, fmt.Errorf("run memory (%d bytes) is less than one fill span (%d bytes)", o.RunMemory, o.FillSpan))
	}
	return errors.Join(faults...)
}

// CheckMountName tells whether a name can be a mount: it must be usable as an S3 bucket and as a host name's label.
func CheckMountName(name string) error {
	ok := len(name) >= 1 && len(name) <= 63 && !strings.HasPrefix(name, "-") && !strings.HasSuffix(name, "-")
	for _, c := range name {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_')
	}
	if !ok {
		return fmt.Errorf("mount name %q: use 1 to 63 of a-z, 0-9, '-', '.', '_'", name)
	}
	return nil
}

// Sidecar serves reads of a namespace of mounts. All methods may be called in parallel. It starts nothing of its own but prefetches, and needs no
// Run; requests to origins that nobody waits for any more end by themselves, prefetches by Close.
type Sidecar struct {
	opts    Options
	objects *freshness.Book[origin.Object]
	lists   *freshness.Book[origin.Listing]
	pages   *pageIndex // of lists
	layouts *layouts
	hot     *hotFiles
	runs    *freshness.Book[struct{}] // first reads of objects whose version is known but whose layout is not
	budget  *semaphore.Weighted       // bytes of runs
	metrics *metrics
	ahead   *ahead

	namespace atomic.Pointer[namespace]
	leaving   atomic.Pointer[namespace] // while a Reload drops what is known of its mounts
	reloading sync.Mutex
}

// New makes a Sidecar.
func New(opts Options) (*Sidecar, error) {
	opts.setDefaults()
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("sidecar: %w", err)
	}
	s := &Sidecar{opts: opts, layouts: newLayouts(opts.LayoutMemory),
		hot: newHotFiles(opts.MetadataMemory / 8), metrics: newMetrics(opts.Registerer)}
	first, err := newNamespace(nil, opts.Mounts, opts.Rules)
	if err != nil {
		return nil, fmt.Errorf("sidecar: %w", err)
	}
	s.namespace.Store(first)
	keep := func(err error) bool { return errors.Is(err, origin.ErrNotFound) }
	objects := freshness.Options[origin.Object]{Limit: opts.MetadataMemory * 5 / 8, Weigh: weighObject, Merge: mergeObject, Keep: keep,
		Persist: lasting, Same: sameObject}
	if opts.Metadata != nil {
		objects.Store = &objectStore{metadata: opts.Metadata, about: s.about}
	}
	s.objects = freshness.NewBook(objects)
	s.runs = freshness.NewBook(freshness.Options[struct{}]{Weigh: func(string, struct{}) int64 { return 1 }})
	s.budget = semaphore.NewWeighted(opts.RunMemory)
	s.lists = freshness.NewBook(freshness.Options[origin.Listing]{
		Limit: opts.MetadataMemory / 4, Weigh: weighListing, Keep: keep})
	s.pages = newPageIndex()
	policy, err := prefetch.NewPolicy(opts.Prefetch)
	if err != nil {
		return nil, fmt.Errorf("sidecar: %w", err)
	}
	s.ahead = newAhead(s, policy)
	if opts.Registerer != nil {
		if err := opts.Registerer.Register(s.ahead.metrics); err != nil {
			return nil, fmt.Errorf("sidecar: metrics of prefetches: %w", err)
		}
	}
	return s, nil
}

// SetPrefetch puts other settings in force. What was begun and is not allowed any more is given up. With an error nothing changes.
func (s *Sidecar) SetPrefetch(settings prefetch.Settings) error {
	p, err := prefetch.NewPolicy(settings)
	if err != nil {
		return fmt.Errorf("sidecar: %w", err)
	}
	s.ahead.set(p)
	return nil
}

// Close ends prefetches and waits for them: none begins any more. All else works as before. Closing twice is safe.
func (s *Sidecar) Close() error {
	s.ahead.close()
	return nil
}

// Touched says that a client has read pages of the cache itself.
func (s *Sidecar) Touched(k cache.Key) { s.ahead.ledger.Touch(prefetch.Key(k), true) }

// objectOverhead is about what Go spends on an entry beside its strings: the map slot, the list element, the structs.
const objectOverhead = 400

func weighObject(key string, o origin.Object) int64 {
	n := objectOverhead + 2*len(key) + len(o.Version) + len(o.ETag)
	for _, p := range o.Parts {
		n += len(p.ID) + 40
	}
	for k, v := range o.Attributes {
		n += len(k) + len(v) + 40
	}
	return int64(n)
}

func weighListing(key string, l origin.Listing) int64 {
	n := int64(objectOverhead + len(key) + len(l.NextToken))
	for i := range l.Entries {
		n += weighObject(l.Entries[i].Path, l.Entries[i].Object) - objectOverhead + 150
	}
	for _, p := range l.CommonPrefixes {
		n += int64(len(p) + 16)
	}
	return n
}

// mergeObject keeps the attributes that an earlier Stat or read told when a listing confirms the same version.
func mergeObject(prev, next origin.Object) origin.Object {
	if next.Attributes == nil && prev.Version == next.Version && prev.Version != "" {
		next.Attributes = prev.Attributes
	}
	return next
}
