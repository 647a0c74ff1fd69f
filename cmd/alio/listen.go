package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/alio-lake/alio/sidecar/config"
	"github.com/alio-lake/alio/sidecar/rpc"
)

// listeners are the process's sockets. They are opened before anything else, so that clients that come while the cache recovers wait in
// the accept queue and are served, where a closed port would turn them away.
type listeners struct {
	s3, admin    net.Listener
	socket, grpc net.Listener // of the gRPC door; nil: none
	peers        net.Listener // nil: none
}

// The names that a service manager gives to the sockets it opens (systemd: FileDescriptorName=).
const (
	s3SocketName    = "s3"
	adminSocketName = "admin"
)

// openListeners takes the sockets that a service manager has passed, and opens those that it has not.
func openListeners(ctx context.Context, cfg *config.Config, passed map[string]net.Listener) (listeners, error) {
	l := listeners{s3: passed[s3SocketName], admin: passed[adminSocketName]}
	var errS3, errAdmin error
	if l.s3 == nil {
		l.s3, errS3 = listen(ctx, cfg.Doors.S3.Listen, "doors.s3.listen", "--s3-listen")
	} else {
		errS3 = checkPassed(l.s3.Addr(), cfg.Doors.S3)
	}
	if l.admin == nil {
		l.admin, errAdmin = listen(ctx, cfg.Admin.Listen, "admin.listen", "--admin-listen")
	}
	errGRPC := l.openGRPC(ctx, cfg.Doors.GRPC)
	var errPeers error
	if cfg.Peers.On() {
		l.peers, errPeers = listen(ctx, cfg.Peers.Listen, "peers.listen", "peers.listen in the config file")
	}
	if err := errors.Join(errS3, errAdmin, errGRPC, errPeers); err != nil {
		l.close()
		return listeners{}, err
	}
	return l, nil
}

func (l *listeners) openGRPC(ctx context.Context, d config.GRPCDoor) error {
	var errs [2]error
	if d.Socket != "" {
		if l.socket, errs[0] = rpc.ListenUnix(d.Socket); errs[0] != nil {
			errs[0] = fmt.Errorf("doors.grpc.socket: %w", errs[0])
		}
	}
	if d.Listen != "" {
		l.grpc, errs[1] = listen(ctx, d.Listen, "doors.grpc.listen", "--grpc-listen")
	}
	return errors.Join(errs[:]...)
}

func (l listeners) close() {
	if l.admin != nil {
		l.admin.Close()
	}
	l.closeDoors()
}

func (l listeners) closeDoors() {
	for _, ln := range []net.Listener{l.s3, l.socket, l.grpc, l.peers} {
		if ln != nil {
			ln.Close()
		}
	}
}

func listen(ctx context.Context, address, key, flag string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use by another process (ss -ltnp shows which): stop it, or choose another port with %s", key, address, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: no right to listen on %s: choose a port above 1023 with %s", key, address, flag)
	default:
		return nil, fmt.Errorf("%s: cannot listen on %s: %w; choose an address of this machine with %s", key, address, errors.Unwrap(err), flag)
	}
}

// checkPassed holds a socket that was passed in to the rule that the configuration's own address is held to.
func checkPassed(addr net.Addr, door config.S3Door) error {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP.IsLoopback() || door.TLS.On() && len(door.Credentials) > 0 {
		return nil
	}
	return fmt.Errorf("the S3 socket that was passed in listens on %s, which other machines can reach: set doors.s3.tls and doors.s3.credentials, or listen on loopback", addr)
}

// firstPassed is the number of the first file descriptor that a service manager passes (sd_listen_fds(3)).
const firstPassed = 3

// passedListeners takes the sockets of systemd's socket activation, by name; without names the first is the S3 door's and the second the
// admin server's. While a manager holds the sockets, a restart, even after kill -9, turns no client away.
func passedListeners(getenv func(string) string, pid int) (map[string]net.Listener, error) {
	out := map[string]net.Listener{}
	if n, err := strconv.Atoi(getenv("LISTEN_PID")); err != nil || n != pid {
		return out, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return out, nil
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		name := []string{s3SocketName, adminSocketName, ""}[min(i, 2)]
		if i < len(names) && (names[i] == s3SocketName || names[i] == adminSocketName) {
			name = names[i]
		}
		file := os.NewFile(uintptr(firstPassed+i), "passed socket "+name)
		ln, err := net.FileListener(file) // works on a copy
		err = errors.Join(err, file.Close())
		if name == "" || out[name] != nil {
			err = errors.Join(err, fmt.Errorf("want one named %s and one named %s", s3SocketName, adminSocketName))
		}
		if err != nil {
			return out, fmt.Errorf("socket %d of %d that was passed in: %w", i+1, n, err)
		}
		out[name] = ln
	}
	return out, nil
}

// notifyManager tells systemd that the service is up (sd_notify(3)); without one it does nothing.
func notifyManager(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}
