package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/alio-lake/alio/internal/access"
)

// identity is who a client turned out to be.
type identity struct {
	name   string // for errors
	domain string // its trust domain
	shared bool   // with others, so that the grants hold for what clients put, too
	grants access.Grants
}

// sharedDomain is where everybody is if Options.Shared is set. No other domain is called so: they hold a colon.
const sharedDomain = "shared"

func (s *Server) identity(name, domain string, grants access.Grants) *identity {
	if s.opts.Shared {
		domain = sharedDomain
	}
	return &identity{name: name, domain: domain, shared: s.opts.Shared, grants: grants}
}

// conn is a client's connection. What belongs to it ends with it.
type conn struct {
	net.Conn
	s       *Server
	id      *identity   // Unix socket: who the peer is; nil: nobody who may come in
	uid     uint32      // Unix socket
	tcp     bool        // the identity is the token's
	claimed atomic.Bool // it holds claims, or held some
	once    sync.Once

	mu     sync.Mutex
	closed bool
	leases map[*lease]struct{}
}

// Close ends the connection and gives back what it holds: its claims, and what its replies count for. It may be called twice.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.s.connections.Add(-1)
		c.mu.Lock()
		leases := c.leases
		c.closed, c.leases = true, nil
		c.mu.Unlock()
		for l := range leases {
			l.end()
		}
		if c.claimed.Load() {
			c.s.claims.leave(c)
		}
	})
	return c.Conn.Close()
}

// lease is what a reply counts for from the moment that gRPC has it until it is sent. It ends with the connection, since gRPC forgets what is queued on
// one that breaks; and it ends the connection when it has lasted too long, since a client that takes nothing would have the sidecar keep its
// replies for ever.
type lease struct {
	conn    *conn
	stalled *time.Timer
	once    sync.Once
	release func()
}

// lend begins a lease. release is called once, when it ends.
func (c *conn) lend(release func()) *lease {
	l := &lease{conn: c, release: release}
	l.stalled = time.AfterFunc(c.s.opts.StallTimeout, func() { c.Close() })
	c.mu.Lock()
	closed := c.closed
	if !closed {
		if c.leases == nil {
			c.leases = map[*lease]struct{}{}
		}
		c.leases[l] = struct{}{}
	}
	c.mu.Unlock()
	if closed {
		l.end()
	}
	return l
}

// end ends the lease. It may be called more than once.
func (l *lease) end() {
	l.once.Do(func() {
		l.stalled.Stop()
		l.conn.mu.Lock()
		delete(l.conn.leases, l)
		l.conn.mu.Unlock()
		l.release()
	})
}

// doorListener counts connections and closes those that are too many.
type doorListener struct {
	net.Listener
	s *Server
}

func (l doorListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.s.connections.Add(1) <= int64(l.s.opts.Connections) {
			return &conn{Conn: raw, s: l.s}, nil
		}
		l.s.connections.Add(-1)
		l.s.metrics.turnedAway.Inc()
		raw.Close()
	}
}

// door is the server's credentials.TransportCredentials: the Unix socket's peer is known by its user, TCP speaks TLS if that is configured.
type door struct {
	s   *Server
	tls credentials.TransportCredentials // nil: plain TCP
}

func newDoor(s *Server, cfg *tls.Config) *door {
	d := &door{s: s}
	if cfg != nil {
		d.tls = credentials.NewTLS(cfg)
	}
	return d
}

// peerInfo is the credentials.AuthInfo of a connection.
type peerInfo struct {
	credentials.CommonAuthInfo
	conn *conn
}

// AuthType implements credentials.AuthInfo.
func (peerInfo) AuthType() string { return "alio" }

// ServerHandshake implements credentials.TransportCredentials. A user who may not come in is told so at its first call: an error here would
// only cut the connection.
func (d *door) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*conn)
	if !ok {
		return nil, nil, fmt.Errorf("rpc: a connection of type %T did not come through Serve", raw)
	}
	info := peerInfo{conn: c, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}
	if u, isUnix := c.Conn.(*net.UnixConn); isUnix {
		info.SecurityLevel = credentials.PrivacyAndIntegrity
		return c, info, d.s.meet(c, u)
	}
	c.tcp = true
	if d.tls == nil {
		return c, info, nil
	}
	secure, _, err := d.tls.ServerHandshake(c)
	info.SecurityLevel = credentials.PrivacyAndIntegrity
	return secure, info, err
}

// meet finds out who the peer of a Unix socket is.
func (s *Server) meet(c *conn, u *net.UnixConn) error {
	raw, err := u.SyscallConn()
	if err != nil {
		return fmt.Errorf("rpc: the peer's user: %w", err)
	}
	var cred *unix.Ucred
	var errCred error
	if err := raw.Control(func(fd uintptr) { cred, errCred = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		errCred = err
	}
	if errCred != nil {
		return fmt.Errorf("rpc: the peer's user: %w", errCred)
	}
	if c.uid = cred.Uid; s.users[c.uid] {
		c.id = s.identity(fmt.Sprintf("user %d", c.uid), fmt.Sprintf("uid:%d", c.uid), access.Everything())
	}
	return nil
}

func allowedUsers(more []uint32) map[uint32]bool {
	users := map[uint32]bool{0: true, uint32(os.Geteuid()): true}
	for _, u := range more {
		users[u] = true
	}
	return users
}

// ClientHandshake implements credentials.TransportCredentials: the door is no client.
func (*door) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("rpc: the door makes no connections")
}

// Info implements credentials.TransportCredentials.
func (*door) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "alio"}
}

// Clone implements credentials.TransportCredentials.
func (d *door) Clone() credentials.TransportCredentials { return d }

// OverrideServerName implements credentials.TransportCredentials.
func (*door) OverrideServerName(string) error { return nil }

// account is a token as it is kept: its hash, so that comparing takes the same time whatever is sent.
type account struct {
	sum [sha256.Size]byte
	id  *identity
}

func (s *Server) setAccounts(tokens []Token) {
	var accounts []account
	for _, t := range tokens {
		accounts = append(accounts, account{sum: sha256.Sum256([]byte(t.Secret)),
			id: s.identity("token "+t.Name, "token:"+t.Name, access.New(t.Mounts))})
	}
	s.accounts.Store(&accounts)
}

// SetTokens puts other tokens in the place of those in force, for calls that come from now on; with an error nothing changes.
func (s *Server) SetTokens(tokens []Token) error {
	if err := validateTokens(tokens); err != nil {
		return err
	}
	s.setAccounts(tokens)
	return nil
}

// identify says who makes a call. The error is a status that shows the way out and no secret.
func (s *Server) identify(ctx context.Context, md metadata.MD) (*identity, *conn, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, nil, status.Error(codes.Internal, "the call has no peer")
	}
	info, ok := p.AuthInfo.(peerInfo)
	if !ok {
		return nil, nil, status.Error(codes.Internal, "the connection has no identity")
	}
	c := info.conn
	if c.id != nil {
		return c.id, c, nil
	}
	if !c.tcp {
		return nil, c, status.Errorf(codes.PermissionDenied, "user %d may not use this sidecar's socket: its own user (%d), root and the users of doors.grpc.users may; add %d there",
			c.uid, os.Geteuid(), c.uid)
	}
	sent := md.Get("authorization")
	if len(sent) != 1 {
		return nil, c, status.Errorf(codes.Unauthenticated, "this door wants one of the tokens of doors.grpc.tokens, in one metadata field \"authorization: Bearer <token>\" (got %d such fields)", len(sent))
	}
	scheme, secret, _ := strings.Cut(sent[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return nil, c, status.Error(codes.Unauthenticated, "the metadata field authorization must be \"Bearer <token>\"")
	}
	sum := sha256.Sum256([]byte(secret))
	var id *identity
	accounts := *s.accounts.Load()
	for i := range accounts {
		if subtle.ConstantTimeCompare(sum[:], accounts[i].sum[:]) == 1 {
			id = accounts[i].id
		}
	}
	if id == nil {
		return nil, c, status.Error(codes.Unauthenticated, "the token is none of doors.grpc.tokens")
	}
	return id, c, nil
}

// denied says what a client may reach of a mount instead.
func (id *identity) denied(mount string) error {
	if open := id.grants.Folders(mount); open != "" {
		return status.Errorf(codes.PermissionDenied, "%s opens only %.512s of that mount: name a path below it", id.name, open)
	}
	return status.Errorf(codes.PermissionDenied, "%s does not open %.128q; the mounts of a token are set in doors.grpc.tokens", id.name, mount)
}
