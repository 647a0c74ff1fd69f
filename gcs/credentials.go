package gcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
)

// scope is what tokens are asked for: to read and to write objects.
const scope = "https://www.googleapis.com/auth/devstorage.read_write"

// tokenTimeout bounds one request for a token.
const tokenTimeout = 30 * time.Second

// credentialsError is why a request was not sent: there is no token for it.
type credentialsError struct {
	err   error
	final bool // asking again cannot help
}

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// authorized adds tokens to requests. Default credentials are looked for when the first request needs them, and again with the next one
// while there are none: finding them can mean asking the metadata server.
type authorized struct {
	base http.RoundTripper
	find func() (*auth.Credentials, error)

	mu    sync.Mutex
	found *auth.Credentials
}

// authorize wraps base in the credentials of a file, or in the default ones where file is "".
func authorize(base http.RoundTripper, file string) (http.RoundTripper, error) {
	opts := &credentials.DetectOptions{Scopes: []string{scope}, Client: &http.Client{Transport: base, Timeout: tokenTimeout}}
	a := &authorized{base: base, find: func() (*auth.Credentials, error) { return credentials.DetectDefault(opts) }}
	if file == "" {
		return a, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("gcs: the credentials file: %w", err)
	}
	var kind struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(b, &kind); err != nil || kind.Type == "" {
		return nil, fmt.Errorf("gcs: the credentials file %s is not one: want JSON with a type, as gcloud or the console writes it", file)
	}
	// The type is the file's own: the operator who names the file answers for it.
	if a.found, err = credentials.NewCredentialsFromJSON(kind.Type, b, opts); err != nil {
		return nil, fmt.Errorf("gcs: the credentials file %s of type %q cannot be used: %w", file, kind.Type, err)
	}
	return a, nil
}

func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.token(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a round tripper's duty
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	kind := token.Type
	if kind == "" {
		kind = "Bearer"
	}
	r.Header.Set("Authorization", kind+" "+token.Value)
	return a.base.RoundTrip(r)
}

func (a *authorized) token(r *http.Request) (*auth.Token, error) {
	creds, err := a.credentials()
	if err != nil {
		return nil, &credentialsError{fmt.Errorf("no credentials were found (%w): name a credentials file in the mount, set GOOGLE_APPLICATION_CREDENTIALS, "+
			"run gcloud auth application-default login, or mount the bucket anonymously if it is public", err), true}
	}
	token, err := creds.Token(r.Context())
	if err == nil {
		return token, nil
	}
	if refusedToken(err) {
		return nil, &credentialsError{fmt.Errorf("the credentials were refused or have expired: renew them: %w", err), true}
	}
	return nil, &credentialsError{fmt.Errorf("no token could be had: %w", err), false}
}

// refusedToken reports whether a token server said no, rather than that it could not say. For exchanged tokens the library keeps the status in the
// text alone.
func refusedToken(err error) bool {
	var said *auth.Error
	if errors.As(err, &said) && said.Response != nil {
		return said.Response.StatusCode >= 400 && said.Response.StatusCode < 500 && !said.Temporary()
	}
	return strings.Contains(err.Error(), "status code 400") || strings.Contains(err.Error(), "status code 401") || strings.Contains(err.Error(), "status code 403")
}

func (a *authorized) credentials() (*auth.Credentials, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.found == nil {
		found, err := a.find()
		if err != nil {
			return nil, err
		}
		a.found = found
	}
	return a.found, nil
}
