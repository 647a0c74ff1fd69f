// Package gcs is the origin that speaks Google Cloud Storage, on the official client. The version of an object is its generation and
// size: each read of a known version is conditional on its generation, and each answer's own headers are compared with what was asked, since
// emulators ignore conditions. It never retries, nor lets the client do so: origin/retry does, around it.
// Start at New.
package gcs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

// Origin is a bucket, or a folder of one. All methods may be called in parallel.
type Origin struct {
	opts   Options
	client *storage.Client
	bucket *storage.BucketHandle
	http   *http.Client // as it was given or made
	sender *http.Client // with the tap and the credentials around it
	id     string
}

var _ origin.Writer = (*Origin)(nil)

// New makes an origin. It reads the credentials file, if one is named, and sends nothing: a bucket that does not exist and default
// credentials that are missing show at the first request.
func New(opts Options) (*Origin, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	o := &Origin{opts: opts, http: opts.HTTPClient, id: fmt.Sprintf("gcs:%q/%q", opts.Endpoint, opts.Bucket)}
	if o.http == nil {
		o.http = &http.Client{
			Transport: outbound.NewTransport(outbound.Limits{Connections: opts.Connections, Dial: opts.DialTimeout, TLS: opts.TLSTimeout, Heads: opts.HeaderTimeout}),
		}
	}
	base := o.http.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	if !opts.Anonymous {
		if base, err = authorize(base, opts.CredentialsFile); err != nil {
			return nil, err
		}
	}
	client := *o.http
	client.Transport = &tap{base, opts.StallTimeout}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.sender = &client
	o.client, err = storage.NewClient(context.Background(), option.WithHTTPClient(&client), option.WithoutAuthentication(),
		option.WithEndpoint(opts.Endpoint+"/storage/v1/"))
	if err != nil {
		return nil, fmt.Errorf("gcs: bucket %q: %w", opts.Bucket, err)
	}
	o.client.SetRetry(storage.WithPolicy(storage.RetryNever))
	if o.bucket = o.client.Bucket(opts.Bucket); opts.UserProject != "" {
		o.bucket = o.bucket.UserProject(opts.UserProject)
	}
	return o, nil
}

// Close drops idle connections. It may be called more than once; requests made later still work.
func (o *Origin) Close() error {
	o.http.CloseIdleConnections()
	return nil
}

// ID names the server and the bucket; the prefix and the mount's alias are no part of it.
func (o *Origin) ID() string { return o.id }

// Root implements origin.Rooted: the prefix of every name.
func (o *Origin) Root() string { return o.opts.Prefix }

// maxName is the longest name of an object, in bytes.
const maxName = 1024

// badName says why Cloud Storage cannot hold an object of this name, or "".
func badName(name string) string {
	switch {
	case name == "." || name == "..":
		return `Cloud Storage has no object named "." or ".."`
	case len(name) > maxName:
		return fmt.Sprintf("Cloud Storage takes names of up to %d bytes, this one has %d", maxName, len(name))
	case strings.ContainsAny(name, "\r\n"):
		return "Cloud Storage takes no carriage return or line feed in a name"
	case !utf8.ValidString(name):
		return "Cloud Storage takes names in UTF-8 only"
	}
	return ""
}

// object is the handle of the object that a path names.
func (o *Origin) object(op, path string) (*storage.ObjectHandle, error) {
	why := ""
	switch {
	case path == "":
		why = "the path is empty"
	case path[0] == '/':
		why = "the path begins with a slash; paths within a mount do not"
	default:
		why = badName(o.opts.Prefix + path)
	}
	if why != "" {
		return nil, origin.NewError(origin.ErrInvalid, op, path, errors.New(why))
	}
	return o.bucket.Object(o.opts.Prefix + path), nil
}

// Stat asks for the object's metadata.
func (o *Origin) Stat(ctx context.Context, path string) (origin.Object, error) {
	handle, err := o.object("stat", path)
	if err != nil {
		return origin.Object{}, err
	}
	ctx, x := exchanging(ctx, false)
	attrs, err := handle.Attrs(ctx)
	if err != nil {
		return origin.Object{}, o.fail(ctx, "stat", path, x, err)
	}
	if attrs.CustomerKeySHA256 != "" {
		return origin.Object{}, origin.NewError(origin.ErrUnsupported, "stat", path, o.named(errCustomerKey))
	}
	return o.stated(path, attrs), nil
}
