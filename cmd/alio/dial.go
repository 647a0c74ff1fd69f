package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/sidecar/config"
)

// answerWithin is how long a running sidecar may take for what needs no origin.
const answerWithin = 10 * time.Second

// tokenVariable holds the token for a gRPC door on TCP: on a command line others could read it.
const tokenVariable = "ALIO_TOKEN"

// adminFlags say where a running sidecar is.
type adminFlags struct{ admin string }

func (f *adminFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.admin, "admin", config.DefaultAdminListen, "`address` of the running sidecar's admin server (its --admin-listen)")
}

// ask makes a request of the admin server and decodes its JSON into out. The code is returned beside what was decoded.
func (f *adminFlags) ask(ctx context.Context, method, path string, within time.Duration, out any) (code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	base := strings.TrimSuffix(f.admin, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, nil)
	if err != nil {
		return 0, usageError{fmt.Errorf("--admin %q is no address: write host:port", f.admin), "alio"}
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var bare *url.Error
		if errors.As(err, &bare) {
			err = bare.Err
		}
		return 0, fmt.Errorf("no sidecar answers at %s: %w; is it running? --admin names another address", f.admin, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err == nil {
		err = json.Unmarshal(body, out)
	}
	if err != nil {
		return 0, fmt.Errorf("what answers at %s is no sidecar of this version: %s %s: %w", f.admin, resp.Status, path, err)
	}
	return resp.StatusCode, nil
}

// doorFlags say where a running sidecar's gRPC door is.
type doorFlags struct {
	adminFlags
	door string
	tls  bool
}

func (f *doorFlags) register(set *pflag.FlagSet) {
	f.adminFlags.register(set)
	set.StringVar(&f.door, "door", "", "`address` of its gRPC door, a socket's path or host:port; none: what --admin says")
	set.BoolVar(&f.tls, "tls", false, "speak TLS to a door on TCP")
}

// open connects to the gRPC door. The caller calls done.
func (f *doorFlags) open(ctx context.Context) (api apiv1.SidecarClient, callCtx context.Context, done func(), err error) {
	door := f.door
	if door == "" {
		var st doorStatus
		if _, err := f.ask(ctx, http.MethodGet, "/status", answerWithin, &st); err != nil {
			return nil, nil, nil, err
		}
		if door = st.Addresses.Socket; door == "" {
			door = st.Addresses.GRPC
		}
		if door == "" {
			return nil, nil, nil, fmt.Errorf("the sidecar at %s has no gRPC door, which this command needs: start it with --grpc-socket /run/alio.sock", f.admin)
		}
	}
	target := "passthrough:///" + door
	if strings.Contains(door, "/") {
		target = "unix:" + strings.TrimPrefix(door, "unix:")
	}
	secure := insecure.NewCredentials()
	if f.tls {
		secure = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(secure), grpc.WithNoProxy())
	if err != nil {
		return nil, nil, nil, fmt.Errorf("--door %q: %w", door, err)
	}
	if token := os.Getenv(tokenVariable); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return apiv1.NewSidecarClient(conn), ctx, func() { conn.Close() }, nil // nothing is left to be told of a connection that is done with
}

// doorStatus is what of a status page is needed to find a door.
type doorStatus struct {
	Addresses addresses `json:"addresses"`
}

// saidBySidecar words an error that the gRPC door has answered.
func saidBySidecar(what string, err error) error {
	s := grpcstatus.Convert(err)
	hint := ""
	switch s.Code() {
	case codes.Unauthenticated:
		hint = " (set " + tokenVariable + ")"
	case codes.Unavailable:
		if strings.Contains(s.Message(), "connection error") {
			hint = " (is the sidecar running, and may you use its socket?)"
		}
	}
	return fmt.Errorf("%s: %s%s", what, s.Message(), hint)
}

// place is a mount and a path of it, as a command line names them.
type place struct{ mount, path string }

// parsePlace takes alio://mount/path; the scheme, or a leading slash in its stead, may be left out.
func parsePlace(arg string) (place, error) {
	rest, scheme := strings.CutPrefix(arg, "alio://")
	if !scheme {
		if before, _, other := strings.Cut(arg, "://"); other {
			return place{}, fmt.Errorf("%q: this command takes alio://mount/path; what %s:// is mounted as, alio mount tells", arg, before)
		}
		rest = strings.TrimPrefix(arg, "/")
	}
	mount, path, _ := strings.Cut(rest, "/")
	if mount == "" {
		return place{}, fmt.Errorf("%q names no mount: write alio://mount/path; alio ls alone lists the mounts", arg)
	}
	return place{mount, path}, nil
}

func (p place) String() string { return "alio://" + p.mount + "/" + p.path }
