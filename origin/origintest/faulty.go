// Package origintest is how origins are tested: Run is the conformance suite that every origin and every wrapper of one must pass, and
// Faulty is an origin that fails by rule, for the tests of whatever reads one. Start at Run or at NewFaulty.
package origintest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
)

// Seed returns the seed of a random test: ALIO_SEED if that is set, else a new one. It logs it, so that a failure can be replayed.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("ALIO_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("ALIO_SEED=%q is not a number: %v", s, err)
		}
		seed = n
	}
	t.Logf("ALIO_SEED=%d replays this run", seed)
	return seed
}

// The operations that a Rule can name and that a Call reports.
const (
	OpStat = "stat"
	OpRead = "read"
	OpList = "list"
)

// Rule says which calls of a Faulty origin suffer which effect. A call suffers the first rule that fires.
type Rule struct {
	Op   string // OpStat, OpRead or OpList; "" is any of them
	Path string // a glob on the path (for a list, its prefix): * stands for any run of bytes, / included; "" is any path
	// Nth fires only at the Nth call (from 1) that Op and Path match and that no rule before this one took; 0 at every one.
	Nth int
	// Probability fires at this share of the calls, drawn from the origin's seed; 0 is always.
	Probability float64
	Effect      Effect
}

// Call is one call that a Faulty origin has seen.
type Call struct {
	Op   string
	Path string             // for a list, its prefix
	Read origin.ReadRequest // for OpRead
	List origin.ListRequest // for OpList
}

// Faulty is an origin that fails by rule and passes everything else to the origin it wraps. All methods may be called in parallel.
type Faulty struct {
	origin.Origin

	mu    sync.Mutex
	rng   *rand.Rand
	rules []*armed
	calls []Call
}

type armed struct {
	Rule
	seen int
}

// NewFaulty wraps o. The seed decides what rules with a Probability draw.
func NewFaulty(o origin.Origin, seed uint64, rules ...Rule) *Faulty {
	f := &Faulty{Origin: o, rng: rand.New(rand.NewPCG(seed, 0))}
	f.Add(rules...)
	return f
}

// Unwrap returns the origin that f wraps.
func (f *Faulty) Unwrap() origin.Origin { return f.Origin }

// Add appends rules. It panics on a rule that could never fire: that is a mistake in a test.
func (f *Faulty) Add(rules ...Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rules {
		if r.Effect.name == "" || r.Nth < 0 || r.Probability < 0 || r.Probability > 1 {
			panic(fmt.Sprintf("origintest: the rule %+v can never fire", r))
		}
		f.rules = append(f.rules, &armed{Rule: r})
	}
}

// Clear drops all rules; the calls seen so far stay.
func (f *Faulty) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Calls returns the calls seen since the start or the last Forget, in the order of their arrival. op "" is all of them.
func (f *Faulty) Calls(op string) []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Call
	for _, c := range f.calls {
		if op == "" || c.Op == op {
			out = append(out, c)
		}
	}
	return out
}

// Forget drops the record of calls.
func (f *Faulty) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// note records a call and draws its effect; the zero Effect is none.
func (f *Faulty) note(c Call) Effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
	for _, r := range f.rules {
		if r.Op != "" && r.Op != c.Op || r.Path != "" && !glob(r.Path, c.Path) {
			continue
		}
		r.seen++
		if r.Nth != 0 && r.Nth != r.seen || r.Probability != 0 && f.rng.Float64() >= r.Probability {
			continue
		}
		return r.Effect
	}
	return Effect{}
}

// glob matches s against a pattern in which * stands for any run of bytes.
func glob(pattern, s string) bool {
	for {
		if pattern == "" {
			return s == ""
		}
		if pattern[0] != '*' {
			if s == "" || s[0] != pattern[0] {
				return false
			}
			pattern, s = pattern[1:], s[1:]
			continue
		}
		for i := 0; i <= len(s); i++ {
			if glob(pattern[1:], s[i:]) {
				return true
			}
		}
		return false
	}
}

// Stat passes the call on, unless a rule fires.
func (f *Faulty) Stat(ctx context.Context, path string) (origin.Object, error) {
	e := f.note(Call{Op: OpStat, Path: path})
	if err := e.before(ctx, OpStat, path); err != nil {
		return origin.Object{}, err
	}
	obj, err := f.Origin.Stat(ctx, path)
	if err != nil {
		return obj, err
	}
	return e.object(obj), nil
}

// List passes the call on, unless a rule fires.
func (f *Faulty) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	e := f.note(Call{Op: OpList, Path: req.Prefix, List: req})
	if err := e.before(ctx, OpList, req.Prefix); err != nil {
		return origin.Listing{}, err
	}
	l, err := f.Origin.List(ctx, req)
	for i := range l.Entries {
		l.Entries[i].Object = e.object(l.Entries[i].Object)
	}
	return l, err
}

// Read passes the call on, unless a rule fires.
func (f *Faulty) Read(ctx context.Context, req origin.ReadRequest) (origin.Content, error) {
	e := f.note(Call{Op: OpRead, Path: req.Path, Read: req})
	if err := e.before(ctx, OpRead, req.Path); err != nil {
		return origin.Content{}, err
	}
	c, err := f.Origin.Read(ctx, req)
	if err != nil {
		return c, err
	}
	c.Object = e.object(c.Object)
	c.Body = &faultyBody{ReadCloser: c.Body, ctx: ctx, path: req.Path, effect: e, left: e.after}
	return c, nil
}

// faultyBody does to a body what its call's effect says.
type faultyBody struct {
	io.ReadCloser
	ctx    context.Context
	path   string
	effect Effect
	left   int64 // bytes until the effect
}

func (b *faultyBody) Read(p []byte) (int, error) {
	if b.effect.name == effectWrongVersion {
		n, err := b.ReadCloser.Read(p)
		for i := range p[:n] {
			p[i] = ^p[i]
		}
		return n, err
	}
	if b.effect.body == nil {
		return b.ReadCloser.Read(p)
	}
	if b.left == 0 {
		return 0, b.effect.body(b.ctx, b.path)
	}
	p = p[:min(int64(len(p)), b.left)]
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
