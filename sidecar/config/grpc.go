package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/alio-lake/alio/internal/config"
)

// GRPCDoor is the gRPC door, for clients that read segments themselves (docs/protocol.md). It is off unless socket or listen is set.
type GRPCDoor struct {
	// Path of a Unix socket, in a folder that exists. Only root, the user that the sidecar runs as, and users may use it. Empty: none.
	Socket string `yaml:"socket"`
	// Host and port for TCP, where clients show one of tokens. Anything wider than loopback needs tls. Empty: no TCP.
	Listen string `yaml:"listen"`
	// Numbers of further users that may use the socket.
	Users []int `yaml:"users"`
	// Who may come in by TCP.
	Tokens []Token `yaml:"tokens"`
	// Certificate for TCP.
	TLS TLS `yaml:"tls"`
	// Let all clients see the pages that any of them has put. Otherwise each user (socket) and each token (TCP) sees its own, and what the sidecar has
	// read itself.
	Shared bool `yaml:"shared"`
	// How long a client may take to fill the pages that it has claimed; then another may.
	ClaimDeadline config.Duration `yaml:"claim_deadline"`
}

// Token is one client of the gRPC door on TCP.
type Token struct {
	// Name, for logs and as a trust domain.
	Name string `yaml:"name"`
	// What the client shows. Write ${NAME} to take it from the environment.
	Token config.Secret `yaml:"token"`
	// What it may read: "mount", or "mount/folder" for what lies below a folder. Empty: everything.
	Mounts []string `yaml:"mounts"`
}

// On tells whether there is a gRPC door at all.
func (d *GRPCDoor) On() bool { return d.Socket != "" || d.Listen != "" }

// maxSocket is the longest path that a Unix socket can have on Linux (unix(7)), less the byte that ends it.
const maxSocket = 107

func (d *GRPCDoor) validate(f *config.Faults) {
	const path = "doors.grpc"
	switch {
	case strings.HasPrefix(d.Socket, "~"):
		f.Add(path+".socket", "%q starts with ~, which only a shell expands: write the whole path", d.Socket)
	case len(d.Socket) > maxSocket:
		f.Add(path+".socket", "%q has %d bytes, and a socket's path at most %d: choose a shorter one, such as /run/alio.sock", d.Socket, len(d.Socket), maxSocket)
	case strings.HasSuffix(d.Socket, "/") || d.Socket != "" && filepath.Base(d.Socket) == ".":
		f.Add(path+".socket", "%q names a folder: write the socket's own path, such as /run/alio.sock", d.Socket)
	}
	if d.Listen != "" {
		if wide := validateListen(f, path+".listen", d.Listen); wide && !d.TLS.On() {
			f.Add(path+".listen", "%s is reachable from other machines, and tokens would travel in the clear: set doors.grpc.tls, or listen on loopback", d.Listen)
		}
		if len(d.Tokens) == 0 {
			f.Add(path+".listen", "TCP does not tell who the client is: set doors.grpc.tokens, or use doors.grpc.socket")
		}
	}
	if d.TLS.On() && (d.TLS.CertFile == "" || d.TLS.KeyFile == "") {
		f.Add(path+".tls", "needs both cert_file and key_file")
	}
	if d.ClaimDeadline < millisecond || d.ClaimDeadline > 3600*second {
		f.Add(path+".claim_deadline", "%s is outside 1ms to 1h: it is how long one client's failure to fill a page holds up the others", d.ClaimDeadline)
	}
	for i, u := range d.Users {
		if u < 0 || u > math.MaxUint32 {
			f.Add(fmt.Sprintf("%s.users[%d]", path, i), "%d is no user's number: id -u tells it", u)
		}
	}
	d.validateTokens(f, path)
}

func (d *GRPCDoor) validateTokens(f *config.Faults, path string) {
	names, secrets := map[string]bool{}, map[string]bool{}
	for i, t := range d.Tokens {
		at := fmt.Sprintf("%s.tokens[%d]", path, i)
		if t.Name == "" {
			f.Add(at+".name", "is missing")
		} else if names[t.Name] {
			f.Add(at+".name", "%q is given twice: each client has one entry", t.Name)
		}
		if t.Token == "" {
			f.Add(at+".token", "is missing")
		} else if secrets[t.Token.Reveal()] {
			f.Add(at+".token", "is the same as another's: each client has its own")
		}
		names[t.Name], secrets[t.Token.Reveal()] = true, true
		for j, m := range t.Mounts {
			if name, folder, _ := strings.Cut(m, "/"); name == "" || strings.HasPrefix(folder, "/") || strings.Contains(folder, "//") {
				f.Add(fmt.Sprintf("%s.mounts[%d]", at, j), "%q has an empty part: write mount or mount/folder", m)
			}
		}
	}
}
