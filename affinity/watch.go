package affinity

import (
	"bytes"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
)

// watchPart is the most data in one WatchReply.
const watchPart = 256 << 10

// Watch implements apiv1.AffinityServer. A client that takes its time misses epochs in between, and never holds up others.
func (s *Service) Watch(req *apiv1.WatchRequest, stream grpc.ServerStreamingServer[apiv1.WatchReply]) error {
	s.watchers.Add(1)
	defer s.watchers.Add(-1)
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	var last *ring.Epoch
	for {
		changed := s.o.Source.Changed()
		if e := s.o.Source.Epoch(); e != nil && e != last {
			if hash := e.Hash(); last != nil || !bytes.Equal(hash[:], req.Hash) {
				if err := s.send(stream, last, e); err != nil {
					return err
				}
			}
			last = e
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return status.Error(codes.Unavailable, "the server is stopping, or the client has left: the last epoch stays good; watch again here or elsewhere")
		}
	}
}

// send sends an epoch, as a difference from the one sent before where that is shorter.
func (s *Service) send(stream grpc.ServerStreamingServer[apiv1.WatchReply], from, to *ring.Epoch) error {
	data, edits := s.sent.bytes(from, to)
	for begin := 0; ; begin += watchPart {
		end := min(begin+watchPart, len(data))
		reply := &apiv1.WatchReply{Epoch: to.Number(), Edits: edits, Last: end == len(data), Data: data[begin:end]}
		if err := stream.Send(reply); err != nil {
			return err
		}
		s.metrics.sent.Add(float64(end - begin))
		if reply.Last {
			return nil
		}
	}
}

// sent keeps what was made last, since all who watch want the same.
type sent struct {
	mu       sync.Mutex
	whole    *ring.Epoch
	encoding []byte
	from, to *ring.Epoch
	diff     []byte
}

func (c *sent) bytes(from, to *ring.Epoch) (data []byte, edits bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.whole != to {
		c.whole, c.encoding = to, to.Encode()
	}
	if from == nil || from.Partitions() > to.Partitions() { // a table that shrank comes from a ring that began anew
		return c.encoding, false
	}
	if c.from != from || c.to != to {
		c.from, c.to, c.diff = from, to, ring.Diff(from, to)
	}
	if len(c.diff) >= len(c.encoding) {
		return c.encoding, false
	}
	return c.diff, true
}
