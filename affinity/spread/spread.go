// Package spread chooses between the owners of a section by what they have been given lately. The ring says who owns a section, in order; a first owner to whom much more was assigned in the last seconds than to the second gets
// a queue that the second has not, and then the second is named ahead of it. It is bounded load (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018) between two choices, over the work
// of seconds.
//
// Only what this process has assigned itself is counted: that is known at once, where reports of load are seconds old and would send everybody to the same idle member. Each of several coordinators so evens out its own
// work, and with it that of all.
package spread

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
)

// How work is forgotten and compared. docs/affinity.md and docs/sim.md say what they were chosen by.
const (
	// Memory is the time in which what was given counts for less by a factor of e.
	Memory = 3 * time.Second
	// Lead is how many times as much as the second the first owner must have been given, beside Options.Ahead: it keeps members of a busy fleet that are as even as hashing makes them from being evened out further.
	Lead = 1.5
)

// Options configure a Spread.
type Options struct {
	// Ahead is how many splits more than the second owner the first must have been given lately for the second to be named first; 0: the ring's order stands, but for hot sections.
	Ahead int
}

// Validate reports what is wrong.
func (o Options) Validate() error {
	if o.Ahead < 0 || o.Ahead > 1_000_000 {
		return fmt.Errorf("spread: ahead %d: give 1 to 1,000,000 splits, or 0 for the ring's order", o.Ahead)
	}
	return nil
}

// Spread chooses, and remembers. All methods may be called in parallel.
type Spread struct {
	o  Options
	mu struct {
		sync.Mutex
		epoch *ring.Epoch
		given []float64 // by slot of the epoch: splits, times what one counted when it was given
		begin time.Time // when one split counted 1
		now   time.Time // of the last look-up, when one split counted
		unit  float64   // this
	}
}

// New makes one that has given nothing yet.
func New(o Options) (*Spread, error) { return &Spread{o: o}, o.Validate() }

// Choose appends to dst k owners of a key in the order in which they should be asked, and counts the split as given to the first of them. Of a hot section they are those that were given least. There are never more than k:
// Trino compares several only by what it has given them of the same query, and takes the last of equals, so it would undo the choice. The same calls at the same times give the same answers.
func (s *Spread) Choose(dst []ring.Slot, e *ring.Epoch, key uint64, k int, now time.Time) ([]ring.Slot, error) {
	hot, err := e.Owners(key, 1) // more than one only of a hot section, all of which hold it
	if err != nil {
		return dst, err
	}
	asked := max(k, min(2, e.Most()))
	owners, err := e.Owners(key, asked)
	if err != nil {
		return dst, err
	}
	begin := len(dst)
	dst = append(dst, owners...)
	chosen := dst[begin:]
	s.mu.Lock()
	defer s.mu.Unlock()
	unit := s.unit(e, now)
	if len(hot) > 1 {
		slices.SortStableFunc(chosen[:len(hot)], func(a, b ring.Slot) int { return cmp.Compare(s.load(a), s.load(b)) })
	} else if s.o.Ahead > 0 && asked > 1 && s.ahead(chosen[0], chosen[1], unit) {
		chosen[0], chosen[1] = chosen[1], chosen[0]
	}
	s.mu.given[chosen[0]] += unit
	return dst[:begin+k], nil
}

// load is what a member was given lately for each unit of its weight: who has twice the disk owns twice the sections.
func (s *Spread) load(m ring.Slot) float64 {
	return s.mu.given[m] / float64(s.mu.epoch.Members()[m].Weight)
}

// ahead says whether a member was given so much more than another that the other should have the next split.
func (s *Spread) ahead(first, second ring.Slot, unit float64) bool {
	other := s.load(second) * float64(s.mu.epoch.Members()[first].Weight) // in the first one's measure
	return s.mu.given[first]-other >= float64(s.o.Ahead)*unit && s.mu.given[first] >= Lead*other
}

// unit is what one split counts now. What is given later counts more, in the place of what was given earlier counting less: so a look-up touches two numbers, and all are scaled down once in some minutes.
func (s *Spread) unit(e *ring.Epoch, now time.Time) float64 {
	if s.mu.epoch == nil {
		s.mu.begin = now
	}
	if s.mu.epoch != e {
		s.follow(e)
	}
	if now.Equal(s.mu.now) { // one of a batch
		return s.mu.unit
	}
	grown := max(0, now.Sub(s.mu.begin).Seconds()/Memory.Seconds())
	if grown > 100 {
		for i := range s.mu.given {
			s.mu.given[i] *= math.Exp(-grown)
		}
		s.mu.begin, grown = now, 0
	}
	s.mu.now, s.mu.unit = now, math.Exp(grown)
	return s.mu.unit
}

// follow takes what members were given over to the slots of another epoch.
func (s *Spread) follow(e *ring.Epoch) {
	given := make([]float64, len(e.Members()))
	for i, n := range s.mu.given {
		if slot, there := e.Find(s.mu.epoch.Members()[i].Name); there && n > 0 {
			given[slot] = n
		}
	}
	s.mu.epoch, s.mu.given = e, given
}
