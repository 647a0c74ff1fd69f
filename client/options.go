package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// OriginReader reads an object from its origin without the sidecar: the caller's own file system or object store client. It may be called in
// parallel.
type OriginReader interface {
	// ReadAt fills p from off of the object at o's version, or fails: with an error that wraps ErrVersionChanged if the origin holds another version
	// now. Fewer bytes than len(p) come with an error, as in io.ReaderAt. p must not be kept.
	ReadAt(ctx context.Context, o Object, p []byte, off int64) (int, error)
}

// Options configure a Client. Address is required; the zero of everything else means its default.
type Options struct {
	// Address is where the sidecar listens: the path of its Unix socket (with a slash in it), or host:port.
	Address string
	// Token is sent with every call, for a sidecar that wants one (TCP).
	Token string
	// TLS is for a TCP address; nil: none.
	TLS *tls.Config
	// Directories are the sidecar's cache directories as this process sees them. Only segments in these are read locally, and only after the identity
	// in them was compared with what the sidecar says. None: everything travels through the socket.
	Directories []string
	// Fallback reads the origin when the sidecar cannot. Without one, a read that needs the sidecar waits for it, and fails if it is gone.
	Fallback OriginReader

	// OpenSegments bounds the segment files that are open at once (default 256). With Mmap, each may be mapped.
	OpenSegments int
	// Views bounds how many objects' pages are remembered beside those of open Files (default 4,096).
	Views int
	// ViewMemory bounds the bytes of memory for that (default 64 MiB: about 1.4 million pages of up to 64 KiB). One object may take half of it, also while
	// Files have it open.
	ViewMemory int64
	// PutMemory bounds the bytes of pages that wait to be put, in client-filled mode (default 32 MiB). What does not fit is not put.
	PutMemory int64
	// Mmap reads sealed segments by mapping them: a little faster, at the price that a read which has to wait for the device can be neither bounded
	// nor counted. For devices that do not hang.
	Mmap bool

	// ControlDeadline is how long the sidecar may take for an answer that needs no origin (default 20 ms). A call that may need the
	// origin is given up, if there is a Fallback, when nothing was heard of the sidecar for so long, though it was asked whether it lives.
	ControlDeadline time.Duration
	// ReadDeadline is how long a call may take that may need the origin (default 30 s).
	ReadDeadline time.Duration
	// LocalDeadline is how long the device may take for a page, before the sidecar is asked for it (default 250 ms).
	LocalDeadline time.Duration
	// LocalReaders bounds how many reads may wait for one directory's device at once (default 32).
	LocalReaders int
	// DialBackoff is the longest pause between attempts to connect, and for which a question whether the sidecar lives is left open (default 2 s).
	DialBackoff time.Duration
	// TouchInterval is how often reads that were made locally are reported, while there are any (default 2 s).
	TouchInterval time.Duration
	// RefreshInterval is the least time between two questions where an object's pages lie now (default 100 ms).
	RefreshInterval time.Duration

	// Tag names what the client reads for (a query, a job), in the sidecar's logs and metrics; at most 128 bytes.
	Tag string
	// Logger takes rare events. The zero Logger writes nothing.
	Logger zerolog.Logger
	// Registerer takes the metrics, alio_client_*; nil for none. Two clients in one registry need it wrapped with a label each.
	Registerer prometheus.Registerer
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) withDefaults() Options {
	setDefault(&o.OpenSegments, 256)
	setDefault(&o.Views, 4096)
	setDefault(&o.ViewMemory, 64<<20)
	setDefault(&o.PutMemory, 32<<20)
	setDefault(&o.ControlDeadline, 20*time.Millisecond)
	setDefault(&o.ReadDeadline, 30*time.Second)
	setDefault(&o.LocalDeadline, 250*time.Millisecond)
	setDefault(&o.LocalReaders, 32)
	setDefault(&o.DialBackoff, 2*time.Second)
	setDefault(&o.TouchInterval, 2*time.Second)
	setDefault(&o.RefreshInterval, 100*time.Millisecond)
	return o
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(o.Address == "", "no address: give the path of the sidecar's Unix socket, or host:port")
	if o.Address != "" && !isSocket(o.Address) {
		_, _, err := net.SplitHostPort(o.Address)
		fault(err != nil, "address %q is neither the path of a Unix socket (with a slash) nor host:port", o.Address)
	}
	fault(o.TLS != nil && isSocket(o.Address), "TLS is for TCP; the Unix socket %q has none", o.Address)
	for _, d := range o.Directories {
		fault(!filepath.IsAbs(d), "cache directory %q is not an absolute path", d)
	}
	fault(o.OpenSegments < 1, "open segments %d: at least 1", o.OpenSegments)
	fault(o.Views < 1, "views %d: at least 1", o.Views)
	fault(o.ViewMemory < minViewMemory, "view memory of %d bytes: at least %d", o.ViewMemory, minViewMemory)
	fault(o.PutMemory < 0, "put memory of %d bytes is negative", o.PutMemory)
	fault(o.LocalReaders < 1, "local readers %d: at least 1", o.LocalReaders)
	fault(len(o.Tag) > maxTag, "tag of %d bytes: at most %d", len(o.Tag), maxTag)
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"control deadline", o.ControlDeadline}, {"read deadline", o.ReadDeadline}, {"local deadline", o.LocalDeadline},
		{"dial backoff", o.DialBackoff}, {"touch interval", o.TouchInterval}, {"refresh interval", o.RefreshInterval}} {
		fault(d.value < 0, "%s %v is negative", d.name, d.value)
	}
	return errors.Join(faults...)
}

const (
	minViewMemory = 64 << 10
	maxTag        = 128
)

// isSocket tells a path from host:port; a path has a slash, or is "unix:…".
func isSocket(address string) bool {
	return strings.Contains(address, "/") || strings.HasPrefix(address, "unix:")
}
