package s3

import (
	"net/http"

	"github.com/alio-lake/alio/internal/outbound"
)

// newTransport is the transport of a client of the origin's own. S3 speaks no HTTP/2.
func newTransport(o Options) *http.Transport {
	return outbound.NewTransport(outbound.Limits{Connections: o.Connections, Dial: o.DialTimeout, TLS: o.TLSTimeout, Heads: o.HeaderTimeout})
}
