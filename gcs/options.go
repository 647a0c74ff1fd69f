package gcs

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// Options name a bucket and say how it is reached. Only Bucket is needed.
type Options struct {
	// Bucket is the bucket's name, without gs://.
	Bucket string
	// Prefix mounts the origin at a folder of the bucket: paths are below it. A slash at either end is optional.
	Prefix string
	// Endpoint is the server's URL (http or https, no path); "" is what STORAGE_EMULATOR_HOST says, or https://storage.googleapis.com.
	Endpoint string

	// CredentialsFile is a file of credentials in JSON, of any type that Google's tools write (service_account, authorized_user,
	// external_account, …). It is read once, by New. Without it the application default credentials are asked for at the first request
	// (GOOGLE_APPLICATION_CREDENTIALS, gcloud's own file, the metadata server), unless Anonymous is set: then requests carry no token, as
	// public buckets and emulators take them. An emulator that STORAGE_EMULATOR_HOST names is always asked anonymously.
	CredentialsFile string
	Anonymous       bool
	// UserProject is the project that pays for requests to a bucket whose requester pays.
	UserProject string

	// HTTPClient, if set, carries the requests; it must not decompress. Nil is a client of the origin's own, for which the options
	// below speak. It uses no proxy, whatever the environment says.
	HTTPClient *http.Client
	// Connections is how many idle connections are kept; default 256. It should be the limit on concurrent requests: how many are in use is bounded
	// there (origin/limit), not here.
	Connections int
	// DialTimeout bounds connecting (default 5 s), TLSTimeout the handshake (default 10 s), HeaderTimeout the wait for an answer's
	// beginning once the request is sent (default 30 s).
	DialTimeout, TLSTimeout, HeaderTimeout time.Duration

	// StallTimeout bounds how long a body may move nothing while it is being read or written; default 30 s.
	StallTimeout time.Duration
}

const (
	defaultEndpoint = "https://storage.googleapis.com"
	emulatorHost    = "STORAGE_EMULATOR_HOST"
)

// bucketName is what Cloud Storage calls a bucket; the longer ones are domain names.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

// Validate reports every fault at once.
func (o Options) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("gcs: "+format, args...)) }
	switch {
	case o.Bucket == "":
		fault("no bucket is named")
	case !bucketName.MatchString(o.Bucket):
		fault("%q is no bucket name: want 3 or more lower-case letters, digits, hyphens, underscores or dots, without gs://", o.Bucket)
	}
	if why := badName(strings.Trim(o.Prefix, "/")); o.Prefix != "" && why != "" {
		fault("the prefix %q cannot be used: %s", o.Prefix, why)
	}
	if o.Endpoint != "" {
		if why := badEndpoint(o.Endpoint); why != "" {
			fault("%s", why)
		} else if strings.HasPrefix(o.Endpoint, "http:") && !o.Anonymous {
			fault("the endpoint %q would get tokens in the clear: use https, or ask for anonymous as an emulator wants", o.Endpoint)
		}
	}
	if o.Anonymous && o.CredentialsFile != "" {
		fault("anonymous requests have no credentials: give a credentials file or ask for anonymous, not both")
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

// badEndpoint says what is wrong with an endpoint, or "".
func badEndpoint(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Sprintf("the endpoint cannot be parsed: %v", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Sprintf("the endpoint %q is no URL of a server; want https://host or http://host:port", s)
	case u.User != nil:
		return fmt.Sprintf("the endpoint %q carries credentials; want them in a credentials file", u.Redacted())
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Sprintf("the endpoint %q has a path, a query or a fragment; want https://host or http://host:port", s)
	}
	return ""
}

func (o Options) withDefaults() (Options, error) {
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
	if host := os.Getenv(emulatorHost); o.Endpoint == "" && host != "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		if why := badEndpoint(host); why != "" {
			return o, fmt.Errorf("gcs: %s: %s", emulatorHost, why)
		}
		o.Endpoint, o.Anonymous, o.CredentialsFile = host, true, ""
	}
	if o.Endpoint == "" {
		o.Endpoint = defaultEndpoint
	}
	o.Endpoint = strings.ToLower(strings.TrimRight(o.Endpoint, "/"))
	return o, nil
}
