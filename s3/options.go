package s3

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Options name a bucket and say how it is reached. Only Bucket is needed on AWS.
type Options struct {
	// Bucket is the bucket's name (no ARN).
	Bucket string
	// Prefix mounts the origin at a folder of the bucket: paths are below it. A slash at either end is optional.
	Prefix string
	// Endpoint is the server's URL (http or https); "" is AWS, or what AWS_ENDPOINT_URL says.
	Endpoint string
	// Region is the bucket's; "" is what the AWS environment says, or us-east-1.
	Region string
	// PathStyle puts the bucket into the path rather than the host name, as most servers other than AWS want.
	PathStyle bool

	// AccessKeyID, SecretAccessKey and SessionToken (optional) are static credentials. Without them the default chain of the AWS SDK is asked
	// (environment, shared files, web identity, container, instance), unless Anonymous is set: then requests are not signed.
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Anonymous       bool

	// HTTPClient, if set, carries the requests; it must neither follow redirects nor decompress. Nil is a client of the origin's own,
	// for which the options below speak. It uses no proxy, whatever the environment says.
	HTTPClient *http.Client
	// Connections is how many idle connections are kept; default 256. It should be the limit on concurrent requests: how many are in use is bounded
	// there (origin/limit), not here.
	Connections int
	// DialTimeout bounds connecting (default 5 s), TLSTimeout the handshake (default 10 s), HeaderTimeout the wait for an answer's
	// beginning once the request is sent (default 30 s).
	DialTimeout, TLSTimeout, HeaderTimeout time.Duration

	// StallTimeout bounds how long a body may deliver nothing while it is being read; default 30 s.
	StallTimeout time.Duration
}

// bucketName is what S3 and its older or laxer relatives call a bucket.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)

// Validate reports every fault at once.
func (o Options) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("s3: "+format, args...)) }
	switch {
	case o.Bucket == "":
		fault("no bucket is named")
	case !bucketName.MatchString(o.Bucket):
		fault("%q is no bucket name: want 3 or more letters, digits, dots, hyphens or underscores (an ARN cannot be mounted)", o.Bucket)
	case strings.HasSuffix(o.Bucket, "--x-s3"):
		fault("bucket %q is a directory bucket (S3 Express), whose listings have no order: it cannot be mounted", o.Bucket)
	}
	if hasDots(o.Prefix) {
		fault(`the prefix %q has a "." or ".." in it, which some servers would resolve`, o.Prefix)
	}
	if o.Endpoint != "" {
		if err := checkEndpoint(o.Endpoint); err != nil {
			errs = append(errs, err)
		}
	}
	if (o.AccessKeyID == "") != (o.SecretAccessKey == "") {
		fault("an access key and its secret come together: one of them is missing")
	}
	if o.SessionToken != "" && o.AccessKeyID == "" {
		fault("a session token needs its access key and secret")
	}
	if o.Anonymous && (o.AccessKeyID != "" || o.SecretAccessKey != "") {
		fault("anonymous requests have no keys: give keys or ask for anonymous, not both")
	}
	if o.Connections < 0 {
		fault("Connections is %d; want a positive number, or 0 for the default", o.Connections)
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"DialTimeout", o.DialTimeout}, {"TLSTimeout", o.TLSTimeout}, {"HeaderTimeout", o.HeaderTimeout}, {"StallTimeout", o.StallTimeout}} {
		if d.v < 0 {
			fault("%s is %v; want a positive time, or 0 for the default", d.name, d.v)
		}
	}
	return errors.Join(errs...)
}

func checkEndpoint(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("s3: the endpoint cannot be parsed: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("s3: the endpoint %q is no URL of a server; want http://host:port or https://host:port", s)
	case u.User != nil:
		return fmt.Errorf("s3: the endpoint %q carries credentials; want them in the access key options", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("s3: the endpoint %q has a query or a fragment; want http://host:port or https://host:port", s)
	}
	return nil
}

// hasDots reports whether a path has a segment that a server which keeps keys as files would resolve.
func hasDots(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

func (o Options) withDefaults() Options {
	if o.Connections == 0 {
		o.Connections = 256
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.DialTimeout, 5 * time.Second}, {&o.TLSTimeout, 10 * time.Second}, {&o.HeaderTimeout, 30 * time.Second}, {&o.StallTimeout, 30 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if o.Prefix = strings.Trim(o.Prefix, "/"); o.Prefix != "" {
		o.Prefix += "/"
	}
	o.Endpoint = strings.TrimRight(o.Endpoint, "/")
	return o
}
