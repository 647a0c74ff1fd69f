package membership

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/alio-lake/alio/affinity/ring"
)

// Hotness says when a section gets more owners than others, and loses them again.
type Hotness struct {
	// Rate is how many times a second a section must be asked about, by all coordinators together, to be hot; 0: none ever is. It gets one owner more for each Rate.
	Rate float64
	// Owners is the most that a hot section gets; 8 by default.
	Owners int
	// Cool is how long it must be below half of Rate before it is as any other; 1 min by default.
	Cool time.Duration
	// Most is how many sections are hot at once; the hottest are. 256 by default.
	Most int
}

func (h Hotness) withDefaults() Hotness {
	if h.Owners == 0 {
		h.Owners = 8
	}
	if h.Cool == 0 {
		h.Cool = time.Minute
	}
	if h.Most == 0 {
		h.Most = 256
	}
	return h
}

func (h Hotness) validate() error {
	h = h.withDefaults()
	if h.Rate < 0 || h.Owners < 1 || h.Owners > ring.MaxHotOwners || h.Cool < 0 || h.Most < 1 || h.Most > ring.MaxHot {
		return fmt.Errorf("membership: hot sections %+v: a rate is not negative, owners are 1 to %d, and at most %d are hot", h, ring.MaxHotOwners, ring.MaxHot)
	}
	return nil
}

// maxHeat is how many sections one process tells of.
const maxHeat = 64

// Heat tells how many times a second sections were asked about here; who is not in the map, was not. Only the 64 hottest are passed on.
func (n *Node) Heat(rates map[uint64]float64) {
	keys := slices.SortedFunc(maps.Keys(rates), func(a, b uint64) int { return cmp.Or(cmp.Compare(rates[b], rates[a]), cmp.Compare(a, b)) })
	told := map[string]float64{}
	for _, k := range keys[:min(len(keys), maxHeat)] {
		told[strconv.FormatUint(k, 16)] = float64(int64(rates[k]*10)) / 10
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if maps.Equal(told, n.mu.heat) {
		return
	}
	n.mu.heat = told
	close(n.mu.heated)
	n.mu.heated = make(chan struct{})
}

// heat publishes what Heat was told, under a lease that is made when there is something to tell first.
func (n *Node) heat(ctx context.Context) error {
	said := func() (map[string]float64, chan struct{}) {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.mu.heat, n.mu.heated
	}
	rates, heated := said()
	for len(rates) == 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-heated:
		}
		rates, heated = said()
	}
	session, err := n.session(ctx)
	if err != nil {
		return err
	}
	defer n.revoke(session)
	key := n.store.key("heat", strconv.FormatInt(int64(session.Lease()), 16))
	for {
		value, err := json.Marshal(rates)
		if err != nil {
			return err
		}
		call, cancel := context.WithTimeout(ctx, callTimeout)
		_, err = n.o.Client.Put(call, key, string(value), clientv3.WithLease(session.Lease()))
		cancel()
		if err != nil {
			return fmt.Errorf("membership: which sections are hot cannot be told: %w", err)
		}
		n.well("heat")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-session.Done():
			return errors.New("membership: the lease is lost")
		case <-heated:
		}
		rates, heated = said()
	}
}

// heats sums what all processes tell of sections.
func (s store) heats(ctx context.Context) (map[uint64]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.key("heat", ""), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("membership: which sections are hot cannot be read: %w", err)
	}
	sum := map[uint64]float64{}
	for _, kv := range r.Kvs {
		var told map[string]float64
		if json.Unmarshal(kv.Value, &told) != nil {
			continue // nobody's word
		}
		for text, rate := range told {
			if k, err := strconv.ParseUint(text, 16, 64); err == nil && rate > 0 {
				sum[k] += rate
			}
		}
	}
	return sum, nil
}

// heatUp decides which sections are hot, and gives what changes. A section that cools keeps its owners until it has been cool for long enough.
func (t *Editor) heatUp(h Hotness, base *ring.Epoch, rates map[uint64]float64, now time.Time) (changes []ring.Hot, next time.Duration) {
	if t.cool == nil {
		t.cool = map[uint64]time.Time{}
	}
	hot := map[uint64]int{}
	for _, x := range base.Hot() {
		hot[x.Key] = x.Owners
	}
	for k := range hot {
		if h.Rate > 0 && rates[k] >= h.Rate/2 {
			delete(t.cool, k)
			continue
		}
		if t.cool[k].IsZero() {
			t.cool[k] = now
		}
		wait := h.Cool - now.Sub(t.cool[k])
		if wait <= 0 {
			changes = append(changes, ring.Hot{Key: k})
			delete(t.cool, k)
		} else if next == 0 || wait < next {
			next = wait
		}
	}
	room := h.Most - len(hot) + len(changes)
	keys := slices.SortedFunc(maps.Keys(rates), func(a, b uint64) int { return cmp.Or(cmp.Compare(rates[b], rates[a]), cmp.Compare(a, b)) })
	for _, k := range keys {
		if h.Rate == 0 || rates[k] < h.Rate {
			break
		}
		_, is := hot[k]
		want := min(h.Owners, 1+int(rates[k]/h.Rate))
		if is && want > hot[k] || !is && room > 0 {
			changes = append(changes, ring.Hot{Key: k, Owners: want})
		}
		if !is {
			room--
		}
	}
	return changes, next
}
