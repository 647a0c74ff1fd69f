package metadata

import (
	"strings"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// op is what is to be done with a key: a fence, an answer, or first one and then the other.
type op struct {
	fence   bool // what is known until now goes
	keep    bool
	promote bool // the answer is one of the old generation's, which goes to the young one if that has none
	weight  int64
	answer  freshness.Answer[origin.Object]
}

// batch is what waits to be written: one op for each key, after the fences on whole prefixes.
type batch struct {
	ops    map[string]*op
	below  []string // fences on what begins with these, raised before the ops
	weight int64
	fences int
	done   chan struct{} // closed when all of it is written, fences so that they outlive the machine
}

func newBatch() *batch { return &batch{ops: map[string]*op{}, done: make(chan struct{})} }

func (b *batch) empty() bool { return len(b.ops) == 0 && len(b.below) == 0 }

// find tells what the batch says of a key: ok if it says anything.
func (b *batch) find(key string) (o *op, ok bool) {
	if b == nil {
		return nil, false
	}
	if o := b.ops[key]; o != nil {
		return o, true
	}
	for _, prefix := range b.below {
		if strings.HasPrefix(key, prefix) {
			return &op{fence: true}, true
		}
	}
	return nil, false
}

// keep puts an answer in, unless a newer one is there. weight is about what it takes in memory.
func (b *batch) keep(key string, a freshness.Answer[origin.Object], weight int64) {
	o := b.ops[key]
	if o == nil {
		o = &op{}
		b.ops[key] = o
	}
	if o.keep && a.Sent.Before(o.answer.Sent) {
		return
	}
	if o.keep {
		a.Value = merge(&o.answer.Value, a.Value)
	}
	b.weight += weight - o.weight
	o.keep, o.promote, o.answer, o.weight = true, false, a, weight
}

// forget raises a fence.
func (b *batch) forget(key string) {
	if o := b.ops[key]; o != nil {
		b.weight -= o.weight
	}
	b.ops[key] = &op{fence: true}
	b.fences++
}

// forgetBelow raises a fence on every key with a prefix.
func (b *batch) forgetBelow(prefix string) {
	for key, o := range b.ops {
		if strings.HasPrefix(key, prefix) {
			b.weight -= o.weight
			delete(b.ops, key)
		}
	}
	b.below = append(b.below, prefix)
	b.fences++
}

// merge gives next the attributes that prev has of the same version, if it has none: a listing tells none.
func merge(prev *origin.Object, next origin.Object) origin.Object {
	if next.Attributes == nil && prev.Version == next.Version {
		next.Attributes = prev.Attributes
	}
	return next
}

// overhead is about what an op takes beside its strings: the map's slot, the op, the object.
const overhead = 350

func weigh(key string, a *freshness.Answer[origin.Object]) int64 {
	n := overhead + len(key) + len(a.Value.Version) + len(a.Value.ETag)
	for _, p := range a.Value.Parts {
		n += len(p.ID) + 40
	}
	for k, v := range a.Value.Attributes {
		n += len(k) + len(v) + 40
	}
	return int64(n)
}
