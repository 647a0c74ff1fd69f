package peers

import (
	"hash/maphash"
	"sync"
	"time"
)

// How long it is remembered that a member did not hold a section's pages, first and at most.
const (
	absentFirst = time.Second
	absentMost  = 30 * time.Second
)

// maxAbsences bounds what is remembered, at 32 bytes each: with more, the older half is forgotten.
const maxAbsences = 1 << 16

// absences remembers who did not hold what, as resolvers remember names that do not exist (RFC 2308): a member that missed is not asked for the same section of
// the same version for a second, then two, to half a minute. In the place of summaries that members would send one another (Fan, Cao, Almeida and
// Broder, "Summary Cache", 2000): at ten bits a page those of 1,000 members with ten million pages each would be 12 GB in every sidecar, and hours old.
type absences struct {
	seed maphash.Seed

	mu struct {
		sync.Mutex
		young, old map[uint64]absence
	}
}

type absence struct {
	until time.Time
	pause time.Duration
}

func newAbsences() *absences {
	a := &absences{seed: maphash.MakeSeed()}
	a.mu.young, a.mu.old = map[uint64]absence{}, map[uint64]absence{}
	return a
}

// key names a section of a version at a member. Two that share one cost a miss.
func (a *absences) key(member, content string, section int64) uint64 {
	var h maphash.Hash
	h.SetSeed(a.seed)
	h.WriteString(member)
	h.WriteByte(0)
	h.WriteString(content)
	maphash.WriteComparable(&h, section)
	return h.Sum64()
}

func (a *absences) findLocked(k uint64) (absence, bool) {
	if x, ok := a.mu.young[k]; ok {
		return x, true
	}
	x, ok := a.mu.old[k]
	return x, ok
}

// holds tells whether it is worth asking.
func (a *absences) holds(k uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	x, ok := a.findLocked(k)
	return !ok || !time.Now().Before(x.until)
}

// missed remembers that it was not.
func (a *absences) missed(k uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x, _ := a.findLocked(k)
	x.pause = min(max(2*x.pause, absentFirst), absentMost)
	x.until = time.Now().Add(x.pause)
	if len(a.mu.young) >= maxAbsences/2 {
		a.mu.old, a.mu.young = a.mu.young, map[uint64]absence{}
	}
	a.mu.young[k] = x
}

// held forgets it.
func (a *absences) held(k uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.mu.young, k)
	delete(a.mu.old, k)
}
