package endpoint

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Credential is one access key that clients of the endpoint may sign with, and what it opens. It has nothing to do with the
// credentials that the sidecar itself uses at the origin.
type Credential struct {
	AccessKeyID     string
	SecretAccessKey string
	// Mounts are what the key may read and write: "mount" for all of a mount, "mount/folder" for the keys below that folder
	// ("lake/sales" opens sales and sales/…, not salesx). Empty opens every mount.
	Mounts []string
}

// Options configure a Handler. Only Backend is required.
type Options struct {
	Backend Backend
	// Credentials are the keys accepted. With none, every request is allowed and signatures are not looked at: the caller then
	// binds to loopback only.
	Credentials []Credential
	// Region is the only region accepted in a signature, and the one told by GetBucketLocation. "" accepts any.
	Region string
	// Domain makes <mount>.<Domain> hosts name the mount (virtual-host style), beside the path style, which always works. A port in
	// it is ignored. "" is path style only.
	Domain string
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Logger takes rare warnings. The zero Logger logs nothing. Signatures and secrets are never logged.
	Logger zerolog.Logger
}

// Validate reports every fault of the options at once, or nil.
func (o *Options) Validate() error {
	var faults []error
	if o.Backend == nil {
		faults = append(faults, errors.New("endpoint: Backend is required"))
	}
	if strings.ContainsAny(o.Domain, "/ ") || strings.HasPrefix(o.Domain, ".") {
		faults = append(faults, fmt.Errorf("endpoint: domain %q must be a bare host name such as s3.example.internal", o.Domain))
	}
	return errors.Join(append(faults, validateCredentials(o.Credentials))...)
}

func validateCredentials(credentials []Credential) error {
	var faults []error
	seen := map[string]bool{}
	for i := range credentials {
		c := &credentials[i]
		if c.AccessKeyID == "" || strings.ContainsAny(c.AccessKeyID, ", \t") {
			faults = append(faults, fmt.Errorf("endpoint: credential %d: access key id must be non-empty, without spaces and commas", i+1))
		}
		if seen[c.AccessKeyID] {
			faults = append(faults, fmt.Errorf("endpoint: access key id %q is given twice", c.AccessKeyID))
		}
		seen[c.AccessKeyID] = true
		if c.SecretAccessKey == "" {
			faults = append(faults, fmt.Errorf("endpoint: access key id %q has no secret access key", c.AccessKeyID))
		}
		for _, m := range c.Mounts {
			if mount, _, _ := strings.Cut(m, "/"); mount == "" || strings.Contains(m, "//") {
				faults = append(faults, fmt.Errorf("endpoint: access key id %q: mounts entry %q must be \"mount\" or \"mount/folder\"",
					c.AccessKeyID, m))
			}
		}
	}
	return errors.Join(faults...)
}

// SetCredentials puts other keys in the place of those in force, for requests that come from now on; with an error nothing changes. None lets every
// request in.
func (h *Handler) SetCredentials(credentials []Credential) error {
	if err := validateCredentials(credentials); err != nil {
		return err
	}
	h.auth.Store(newAuthenticator(credentials, h.region))
	return nil
}

// Handler serves the S3 protocol over a Backend. It is an http.Handler, safe for parallel use; it starts no goroutine and needs no
// closing. It must be the server's root handler: http.ServeMux would clean the paths, and "a//b" is a key.
type Handler struct {
	backend Backend
	hits    Hits   // nil: the backend has none
	stores  Stores // nil: all mounts speak S3 and take writes
	auth    atomic.Pointer[authenticator]
	metrics *metrics
	log     zerolog.Logger
	domain  string // lower case, with a leading dot; "" is path style only
	region  string
	born    time.Time // what ListBuckets tells as the mounts' creation date
	ids     requestIDs
}

var _ http.Handler = (*Handler)(nil)

// New makes a Handler, or says everything that is wrong with the options.
func New(o Options) (*Handler, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("endpoint: register metrics: %w", err)
	}
	h := &Handler{
		backend: o.Backend,
		metrics: m,
		log:     o.Logger.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
		region:  o.Region,
		born:    time.Now(),
		ids:     newRequestIDs(),
	}
	h.auth.Store(newAuthenticator(o.Credentials, o.Region))
	h.hits, _ = o.Backend.(Hits)
	h.stores, _ = o.Backend.(Stores)
	if o.Domain != "" {
		h.domain = "." + strings.ToLower(hostOnly(o.Domain))
	}
	return h, nil
}
