package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	apiv1 "github.com/alio-lake/alio/api/v1"
)

// session is what Status tells, and how far the client knows what became of places.
type session struct {
	c *Client

	asking sync.Mutex // one Status at a time
	state  atomic.Pointer[told]
	doubt  atomic.Bool  // a segment was not where it should be: look at the directories again
	looked atomic.Int64 // unix nanoseconds when the directories were looked at last

	mu         sync.Mutex
	generation uint64

	retired atomic.Uint64 // segments, for the metrics
	forgets atomic.Uint64
}

// told is a Status.
type told struct {
	process     uint64
	directories map[uint32]*directory // that can be read here, by their numbers
	maxFiles    int
	maxPut      int64
}

const (
	defaultMaxFiles = 64
	defaultMaxPut   = 4 << 20
	lookAgain       = 5 * time.Second
)

// suspectDirectories has the directories looked at again with the next call.
func (s *session) suspectDirectories() { s.doubt.Store(true) }

// current returns what Status told, asking if that is not known. p is the patience of the call that needs it.
func (s *session) current(ctx context.Context, p patience) (*told, error) {
	t := s.state.Load()
	if t == nil {
		s.asking.Lock()
		defer s.asking.Unlock()
		if now := s.state.Load(); now != nil {
			return now, nil
		}
		return s.ask(ctx, p)
	}
	if !s.doubt.Load() || time.Now().UnixNano()-s.looked.Load() < int64(lookAgain) || !s.asking.TryLock() {
		return t, nil
	}
	defer s.asking.Unlock()
	if now, err := s.ask(ctx, patience{deadline: s.c.o.ControlDeadline, optional: true}); err == nil {
		return now, nil
	}
	return t, nil // what was known still serves
}

func (s *session) ask(ctx context.Context, p patience) (*told, error) {
	var answer *apiv1.StatusReply
	s.doubt.Store(false)
	s.looked.Store(time.Now().UnixNano())
	err := s.c.control.call(ctx, methodStatus, p, func(ctx context.Context, api apiv1.SidecarClient, r *reply) (err error) {
		answer, err = api.Status(ctx, &apiv1.StatusRequest{}, r.options()...)
		return err
	})
	if err != nil {
		return nil, err
	}
	t := &told{process: answer.GetProcess(), directories: map[uint32]*directory{}, maxFiles: int(answer.GetMaxFiles()), maxPut: int64(answer.GetMaxPutBytes())}
	setDefault(&t.maxFiles, defaultMaxFiles)
	setDefault(&t.maxPut, defaultMaxPut)
	byID := map[string]*directory{}
	for _, d := range s.c.directories {
		if !d.usable() {
			continue
		}
		if err := d.identify(ctx, s.c.o.LocalDeadline); err != nil {
			if !d.told.Swap(true) {
				s.c.o.Logger.Warn().Err(err).Str("dir", d.path).Msg("the cache directory cannot be identified; its pages are asked of the sidecar until it can")
			}
			continue
		}
		d.told.Store(false)
		byID[*d.id.Load()] = d
	}
	for _, d := range answer.GetDirectories() {
		if own := byID[d.GetId()]; own != nil {
			t.directories[d.GetNumber()] = own
		}
	}
	s.state.Store(t)
	return t, nil
}

// apply takes an OpenReply to a request that carried the generation since: what was retired, and the segments that it names, nil for those that
// cannot be read here.
func (s *session) apply(ctx context.Context, since uint64, answer *apiv1.OpenReply, p patience) []*segment {
	s.mu.Lock()
	if answer.GetForget() && since != 0 && since == s.generation {
		s.state.Store(nil) // directories have other numbers in another process
		s.forgets.Add(1)
		s.c.segments.forget()
	}
	if since == s.generation {
		s.generation = answer.GetGeneration()
	} // else another answer was applied meanwhile; what has been retired since is told again
	s.mu.Unlock()
	t, err := s.current(ctx, p)
	if err != nil {
		return make([]*segment, len(answer.GetSegments()))
	}
	for _, r := range answer.GetRetired() {
		if name, ok := t.name(r); ok && s.c.segments.retire(name) {
			s.retired.Add(1)
		}
	}
	segments := make([]*segment, len(answer.GetSegments()))
	for i, told := range answer.GetSegments() {
		if name, ok := t.name(told); ok {
			segments[i] = s.c.segments.get(name)
		} else {
			s.suspectDirectories() // perhaps one has come, or has come back
		}
	}
	return segments
}

func (t *told) name(s *apiv1.Segment) (segmentName, bool) {
	dir := t.directories[s.GetDirectory()]
	return segmentName{instance: s.GetInstance(), seq: s.GetSeq(), dir: dir}, dir != nil
}

func (s *session) since() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}
