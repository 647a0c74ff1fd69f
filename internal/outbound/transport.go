package outbound

import (
	"net"
	"net/http"
	"time"
)

// Limits bound connections and the wait for an answer. All must be positive.
type Limits struct {
	Connections      int           // idle ones that are kept
	Dial, TLS, Heads time.Duration // connecting, the handshake, and the wait for an answer's beginning once the request is sent
}

// NewTransport is HTTP/1.1 with a pool of connections as large as the concurrency it is meant for; the default transport keeps two
// for each host and would connect anew for most requests. One connection for each request is also what large bodies want: HTTP/2 would put all
// of them through one. Bytes are passed as they are: no transparent gzip. It uses no proxy.
func NewTransport(l Limits) *http.Transport {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return &http.Transport{
		Protocols:             p,
		DialContext:           (&net.Dialer{Timeout: l.Dial, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   l.TLS,
		ResponseHeaderTimeout: l.Heads,
		MaxIdleConns:          l.Connections,
		MaxIdleConnsPerHost:   l.Connections,
		IdleConnTimeout:       60 * time.Second,
		ReadBufferSize:        16 << 10, // bodies are read past it, straight into the reader's buffer
		DisableCompression:    true,
	}
}
