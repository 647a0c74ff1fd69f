package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/alio-lake/alio/affinity/ring"
	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/sidecar"
)

const (
	walksAtOnce    = 2        // askers whose sections are looked for at once; others are told that this sidecar is busy
	holdingsAtOnce = 64 << 10 // bytes of a message, about
	mostHeld       = 1 << 18  // pages that are told to one asker at most, at some 40 bytes each while they are looked for
	mostPartitions = 1 << 24  // of a table that is asked by
	heats          = sidecar.MetadataHeat + 1
)

// sections are those that are asked for.
type sections struct {
	size       int64
	partitions int
	bits       []byte
	keys       []uint64    // sorted
	epoch      *ring.Epoch // for keys: its section size is size
}

// askedFor takes sections off the wire.
func askedFor(req *apiv1.HoldingsRequest) (*sections, error) {
	if req.Most < 1 || req.SectionSize < 1 || req.Partitions < 1 || req.Partitions > mostPartitions || int64(len(req.Wanted)) > (req.Partitions+7)/8 {
		return nil, fmt.Errorf("%d pages of sections of %d bytes in a table of %d partitions, %d of them wanted", req.Most, req.SectionSize, req.Partitions, 8*len(req.Wanted))
	}
	e, err := ring.New(ring.Settings{SectionSize: req.SectionSize})
	if err != nil {
		return nil, err
	}
	return &sections{size: req.SectionSize, partitions: int(req.Partitions), bits: req.Wanted, keys: slices.Sorted(slices.Values(req.Keys)), epoch: e}, nil
}

// want tells for the paths of a mount whether a section is asked for. It remembers the last one: pages come in order.
func (s *sections) want(mount string) func(path string, off int64) bool {
	var last string
	section, is := int64(-1), false
	return func(path string, off int64) bool {
		if path == last && off/s.size == section {
			return is
		}
		last, section, is = path, off/s.size, false
		key, err := s.epoch.Key(ring.Split{Mount: mount, Path: path, Offset: off})
		if err != nil {
			return false
		}
		p := ring.Partition(key, s.partitions)
		_, hot := slices.BinarySearch(s.keys, key)
		is = hot || p/8 < len(s.bits) && s.bits[p/8]>>(p%8)&1 == 1
		return is
	}
}

// found is what is held, by heat: the hottest that fit.
type found struct {
	most, pages int
	byHeat      [heats][]foundPages
}

// foundPages are equally hot pages of one object.
type foundPages struct {
	place int32
	h     sidecar.Holding // with these pages only
}

// add takes an object's pages. Where there are too many, the coldest go, and of these the last that came.
func (f *found) add(place int32, h sidecar.Holding) {
	for heat := heats - 1; heat >= 0; heat-- {
		some := foundPages{place: place, h: sidecar.Holding{Object: h.Object, Sent: h.Sent}}
		for _, p := range h.Pages {
			if int(p.Heat) == heat {
				some.h.Pages = append(some.h.Pages, p)
			}
		}
		if len(some.h.Pages) > 0 {
			f.byHeat[heat] = append(f.byHeat[heat], some)
			f.pages += len(some.h.Pages)
		}
	}
	for heat := 0; heat < heats; heat++ {
		for list := &f.byHeat[heat]; f.pages > f.most && len(*list) > 0; {
			last := &(*list)[len(*list)-1].h
			over := min(f.pages-f.most, len(last.Pages))
			f.pages -= over
			if last.Pages = last.Pages[:len(last.Pages)-over]; len(last.Pages) == 0 {
				*list = (*list)[:len(*list)-1]
			}
		}
	}
}

// Holdings implements apiv1.PeersServer.
func (s *Server) Holdings(req *apiv1.HoldingsRequest, stream grpc.ServerStreamingServer[apiv1.HoldingsReply]) error {
	asked, err := askedFor(req)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	select {
	case s.walks <- struct{}{}:
		defer func() { <-s.walks }()
	default:
		return status.Error(codes.ResourceExhausted, "others are being told what this sidecar holds")
	}
	f := found{most: int(min(req.Most, mostHeld))}
	for i, p := range req.Places {
		at := placeOf(p)
		s.o.Sidecar.Holdings(stream.Context(), at, asked.want(at.Mount), func(h sidecar.Holding) bool {
			if speakableObject(&h.Object) {
				f.add(int32(i), h)
			}
			return true
		})
	}
	var reply apiv1.HoldingsReply
	size := 0
	for heat := heats - 1; heat >= 0; heat-- {
		for i := range f.byHeat[heat] {
			h := f.byHeat[heat][i].wire()
			reply.Holdings, size = append(reply.Holdings, h), size+proto.Size(h)
			if size >= holdingsAtOnce {
				if err := stream.Send(&reply); err != nil {
					return err
				}
				reply.Holdings, size = nil, 0
			}
		}
	}
	if len(reply.Holdings) > 0 {
		return stream.Send(&reply)
	}
	return nil
}

// wire puts pages on the wire.
func (f *foundPages) wire() *apiv1.Holding {
	h := &apiv1.Holding{Place: f.place, Object: known(f.h.Object.Path, &f.h.Object), Heat: int32(f.h.Pages[0].Heat)}
	h.Object.AgeUs = ageOf(f.h.Sent)
	at := int64(0)
	for _, p := range f.h.Pages {
		h.Gaps, h.Lengths, h.Classes = append(h.Gaps, p.Start-at), append(h.Lengths, p.End-p.Start), append(h.Classes, p.Class)
		at = p.End
	}
	return h
}

// holdingOf takes pages off the wire. What cannot be right is an error.
func holdingOf(h *apiv1.Holding, asked time.Time, places []sidecar.Place) (at sidecar.Place, out sidecar.Holding, err error) {
	if h.GetPlace() < 0 || int(h.Place) >= len(places) || len(h.Gaps) != len(h.Lengths) || len(h.Gaps) != len(h.Classes) || h.Heat < 0 || h.Heat >= heats {
		return at, out, fmt.Errorf("%w: pages of place %d, heat %d: %d places, %d lengths, %d classes", errGarbage, h.GetPlace(), h.GetHeat(), len(h.GetGaps()), len(h.GetLengths()), len(h.GetClasses()))
	}
	at = places[h.Place]
	if out.Object, err = objectOf(h.Object); err != nil {
		return at, out, err
	}
	if out.Sent, err = dated(asked, h.Object.AgeUs); err != nil {
		return at, out, err
	}
	if len(out.Object.Parts) == 0 {
		return at, out, fmt.Errorf("%w: %q has pages and no parts", errGarbage, out.Object.Path)
	}
	pos := int64(0)
	for i, n := range h.Lengths {
		if h.Gaps[i] < 0 || n < 1 || n > cache.MaxPage || h.Gaps[i] > out.Object.Size-pos-n {
			return at, out, fmt.Errorf("%w: %q of %d bytes has a page of %d bytes, %d after %d", errGarbage, out.Object.Path, out.Object.Size, n, h.Gaps[i], pos)
		}
		pos += h.Gaps[i]
		out.Pages = append(out.Pages, sidecar.HeldPage{Start: pos, End: pos + n, Class: h.Classes[i], Heat: uint8(h.Heat)})
		pos += n
	}
	return at, out, nil
}

// holdings asks a member what it holds of sections, and gives take each of its answers.
func (p *Peers) holdings(ctx context.Context, m *member, req *apiv1.HoldingsRequest, places []sidecar.Place, take func(sidecar.Place, sidecar.Holding)) (err error) {
	if !m.begin() {
		return errBusy
	}
	defer func() {
		if err != nil && !errors.Is(err, errBusy) && !errors.Is(err, context.Canceled) {
			err = fmt.Errorf("peer %s at %s: %w", m.name, m.address, err)
		}
		if m.end(err) {
			p.gaveUp(m, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, holdingsTimeout)
	defer cancel()
	client, err := m.client()
	if err != nil {
		return err
	}
	asked := time.Now()
	stream, err := client.Holdings(ctx, req)
	if err != nil {
		return kind(err)
	}
	for left := req.Most; ; {
		reply, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case status.Code(err) == codes.Internal: // what arrived is no message
			return fmt.Errorf("%w: %w", errGarbage, err)
		case err != nil:
			return kind(err)
		}
		for _, x := range reply.Holdings {
			at, h, err := holdingOf(x, asked, places)
			if left -= int64(len(h.Pages)); err == nil && left < 0 {
				err = fmt.Errorf("%w: it tells of more pages than the %d that it was asked for", errGarbage, req.Most)
			}
			if err != nil {
				return err
			}
			take(at, h)
		}
	}
}
