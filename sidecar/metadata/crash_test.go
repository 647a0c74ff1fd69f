package metadata

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// known is what a model remembers of a path: which answers a look-up may bring, by the number in their ETag.
type known struct {
	last  int          // what was kept last in this life; 0: nothing, or a fence came after
	maybe map[int]bool // what a later process may find: what was kept since the last fence that is durable
}

// model is a store's as it should be.
type model map[string]*known

func (m model) of(path string) *known {
	if m[path] == nil {
		m[path] = &known{maybe: map[int]bool{}}
	}
	return m[path]
}

func (m model) keep(path string, n int) {
	k := m.of(path)
	k.last, k.maybe[n] = n, true
}

// forget raises a fence on what begins with prefix; durable says that it was waited for.
func (m model) forget(prefix string, durable bool) {
	for path, k := range m {
		if strings.HasPrefix(path, prefix) {
			k.last = 0
			if durable {
				clear(k.maybe)
			}
		}
	}
}

// restart begins another life: what is there is one of what may be there, and stays so.
func (m model) restart(t *testing.T, s *running, what string) {
	t.Helper()
	for path, k := range m {
		a, ok := s.Load(spaceA, path)
		n := 0
		if ok {
			fmt.Sscanf(a.Value.ETag, `"%x"`, &n)
			if !k.maybe[n] {
				t.Fatalf("%s: %s is %d; a fence that was waited for took that away, or it was never kept (could be %v)", what, path, n, k.maybe)
			}
			if !a.Sent.IsZero() {
				t.Fatalf("%s: %s says when it was sent for, by a clock of another life", what, path)
			}
		}
		k.last, k.maybe = n, map[int]bool{}
		if ok {
			k.maybe[n] = true
		}
	}
}

func (m model) check(t *testing.T, s *running, path string) {
	t.Helper()
	k := m.of(path)
	a, ok := s.Load(spaceA, path)
	n := 0
	if ok {
		fmt.Sscanf(a.Value.ETag, `"%x"`, &n)
	}
	if n != k.last {
		t.Fatalf("%s is %d, and %d was kept last", path, n, k.last)
	}
}

// A store whose machine crashes and whose process is restarted at random, and whose generations change all the time, against a model: within a life
// the last answer is found, unless a fence came after it; in a later one, nothing from before a fence that was waited for.
func TestRandomFencesOutliveCrashes(t *testing.T) {
	rounds := 3
	if os.Getenv("ALIO_LONG") != "" {
		rounds = 200
	}
	seed := seedFor(t)
	for round := range rounds {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		fs := vfs.NewCrashableMem()
		o := Options{FS: fs, shareForTests: 6 << 10} // a new generation every few dozen answers
		s, m := start(t, o), model{}
		crashes, rotations := 0, 0
		for i := 1; i <= 1500; i++ {
			path := fmt.Sprintf("d%d/f%d", rng.IntN(4), rng.IntN(40))
			switch p := rng.IntN(1000); {
			case p < 500:
				if s.Keep(spaceA, path, at(path, i)) {
					m.keep(path, i)
				} else {
					t.Fatal("shed") // the queue is far larger than what waits
				}
			case p < 800:
				m.check(t, s, path)
			case p < 900:
				durable, wait := s.Forget(spaceA, path), rng.IntN(2) == 0
				if wait {
					durable()
				}
				m.of(path)
				m.forgetOne(path, wait)
			case p < 920:
				dir := path[:3]
				durable, wait := s.ForgetBelow(spaceA, dir), rng.IntN(2) == 0
				if wait {
					durable()
				}
				m.forget(dir, wait)
			case p < 980:
				s.settle(t)
			case p < 990:
				rotations += s.metrics.count(t)
				if err := s.stop(); err != nil {
					t.Fatal(err)
				}
				s = start(t, o)
				m.restart(t, s, "restart")
			default:
				rotations += s.metrics.count(t)
				clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
				s.stop()
				fs = clone
				o.FS = fs
				s = start(t, o)
				m.restart(t, s, "crash")
				crashes++
			}
		}
		s.stop()
		t.Logf("round %d: %d crashes, %d new generations", round, crashes, rotations)
		if crashes == 0 || rotations == 0 {
			t.Errorf("round %d showed nothing: %d crashes, %d new generations", round, crashes, rotations)
		}
	}
}

func (m model) forgetOne(path string, durable bool) {
	k := m[path]
	k.last = 0
	if durable {
		clear(k.maybe)
	}
}
