package membership

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/alio-lake/alio/affinity/ring"
)

// Disk is how a member's disk tier fares.
type Disk string

// The states of a disk tier. A failed one is a reason to leave the member out; a degraded one only costs what it has lost.
const (
	DiskUnknown  Disk = ""
	DiskWell     Disk = "well"
	DiskDegraded Disk = "degraded" // some devices are set aside
	DiskFailed   Disk = "failed"   // all are
)

// Load is how a member fares. Zero fields are not known.
type Load struct {
	Queued    int   `json:"queued,omitempty"`     // requests that wait for it
	LatencyUS int64 `json:"latency_us,omitempty"` // of its reads, the 99th of 100, in microseconds
	Disk      Disk  `json:"disk,omitempty"`
}

// Coarse rounds up to powers of two, so that a load that only trembles writes nothing to etcd.
func (l Load) Coarse() Load {
	up := func(n int64) int64 {
		if n <= 0 {
			return 0
		}
		return 1 << bits.Len64(uint64(n-1))
	}
	return Load{int(up(int64(l.Queued))), up(l.LatencyUS), l.Disk}
}

// Announced is what a member announces: who it is, and how it fares (nil: it has not said).
type Announced struct {
	ring.Member
	Load *Load `json:"Load,omitempty"`
}

func (r Announced) encode() (string, error) {
	b, err := json.Marshal(r)
	return string(b), err
}

// Overload says when the leader leaves a member out of answers, and takes it in again. Loads come rounded up to powers of two.
type Overload struct {
	// Queued and Latency are the limits; 0: that one is not looked at. A member whose disk tier has failed is over its limit whatever they are.
	Queued  int
	Latency time.Duration
	// After is how long a member must be over a limit before it is left out (10 s by default), Back how long under half of all limits before it is asked again (30 s).
	After, Back time.Duration
	// Share is the most that are left out at once, as a fraction of the members that do not drain, rounded down; 0.34 by default. It is never all of them.
	Share float64
}

func (o Overload) withDefaults() Overload {
	if o.After == 0 {
		o.After = 10 * time.Second
	}
	if o.Back == 0 {
		o.Back = 30 * time.Second
	}
	if o.Share == 0 {
		o.Share = 0.34
	}
	return o
}

func (o Overload) validate() error {
	o = o.withDefaults()
	if o.Queued < 0 || o.Latency < 0 || o.After < 0 || o.Back < 0 || o.Share < 0 || o.Share > 0.9 {
		return fmt.Errorf("membership: overload %+v: nothing is negative, and the share is at most 0.9", o)
	}
	return nil
}

// over and under say on which side of the limits a load is; between half of a limit and the limit it is on neither.
func (o Overload) over(l Load) bool {
	return l.Disk == DiskFailed || o.Queued > 0 && l.Queued > o.Queued || o.Latency > 0 && l.LatencyUS > o.Latency.Microseconds()
}

func (o Overload) under(l Load) bool {
	return l.Disk != DiskFailed && (o.Queued == 0 || 2*l.Queued <= o.Queued) && (o.Latency == 0 || 2*l.LatencyUS <= o.Latency.Microseconds())
}

// verdict is what a leader thinks of one member.
type verdict struct {
	excluded bool
	since    time.Time // since when its load has spoken against the verdict without a break; zero: it does not
}

// judge decides who is left out: it sets Excluded in the members. A verdict changes only when the load has spoken against it for long enough, and is left as it is where too many would be left out. next is when it should be
// asked again at the latest; 0: when something changes. Time is only ever compared with a later reading of the same clock, which no jump of the day's time moves.
func (t *Editor) judge(o Overload, base *ring.Epoch, members []Announced, now time.Time) (next time.Duration) {
	if t.verdicts == nil {
		t.verdicts = map[string]*verdict{}
	}
	there, eligible, excluded := map[string]bool{}, 0, 0
	var ripe []*verdict
	for _, m := range members {
		there[m.Name] = true
		v := t.verdicts[m.Name]
		if v == nil { // what an earlier leader thought, unless the load does not speak for it: then it may have been absent
			v = &verdict{}
			if s, ok := base.Find(m.Name); ok && t.gone[m.Name].IsZero() && m.Load != nil && !o.under(*m.Load) {
				v.excluded = base.Members()[s].Excluded
			}
			t.verdicts[m.Name] = v
		}
		if wait, ok := v.hear(o, m.Load, now); ok && wait > 0 && (next == 0 || wait < next) {
			next = wait
		} else if ok && wait <= 0 && v.excluded {
			*v = verdict{}
		} else if ok && wait <= 0 && !m.Draining {
			ripe = append(ripe, v)
		}
		if !m.Draining {
			eligible++
			if v.excluded {
				excluded++
			}
		}
	}
	slices.SortStableFunc(ripe, func(a, b *verdict) int { return a.since.Compare(b.since) })
	room := max(0, min(int(o.Share*float64(eligible)), eligible-1)-excluded)
	for _, v := range ripe[:min(room, len(ripe))] {
		*v = verdict{excluded: true}
	}
	for name := range t.verdicts {
		if !there[name] {
			delete(t.verdicts, name)
		}
	}
	for i := range members {
		members[i].Excluded = t.verdicts[members[i].Name].excluded
	}
	return next
}

// hear compares a load with the verdict. against: it speaks against it, and the verdict is to change after wait.
func (v *verdict) hear(o Overload, l *Load, now time.Time) (wait time.Duration, against bool) {
	if l == nil {
		l = &Load{}
	}
	hold := o.After
	if against = o.over(*l); v.excluded {
		against, hold = o.under(*l), o.Back
	}
	if !against {
		v.since = time.Time{}
		return 0, false
	}
	if v.since.IsZero() {
		v.since = now
	}
	return hold - now.Sub(v.since), true
}
