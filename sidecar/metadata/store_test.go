package metadata

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
)

const (
	spaceA = "space-a-16-bytes"
	spaceB = "space-b-16-bytes"
)

// running is a store that runs until stop.
type running struct {
	*Store
	stop func() error
}

func start(t testing.TB, o Options) *running {
	t.Helper()
	if o.Dir == "" {
		o.Dir = "/meta"
	}
	if o.Size == 0 {
		o.Size = MinSize
	}
	if o.Memory == 0 {
		o.Memory = MinMemory
	}
	if o.LookupDeadline == 0 {
		o.LookupDeadline = 10 * time.Second // a busy machine is no sick device
	}
	if o.FenceDeadline == 0 {
		o.FenceDeadline = time.Minute
	}
	o.Logger = zerolog.New(zerolog.NewTestWriter(t))
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &running{Store: s}
	var once sync.Once
	r.stop = func() (err error) {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	t.Cleanup(func() { r.stop() })
	s.Opened(context.Background())
	return r
}

// settle waits until everything that was kept is in the trees.
func (r *running) settle(t testing.TB) {
	t.Helper()
	until(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.pending.empty() && r.inflight == nil
	})
}

// until polls to a deadline.
func until(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come about within 30 s")
		}
	}
}

func at(path string, n int) answer {
	return answer{Value: s3Object(path, fmt.Sprintf(`"%032x"`, n), 10240), Sent: time.Now()}
}

func TestWhatIsKeptComesBack(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, Options{FS: fs})
	want := at("t/x", 1)
	want.Value.Attributes = map[string]string{"Content-Type": "text/plain"}
	if !s.Keep(spaceA, "t/x", want) {
		t.Fatal("not taken")
	}
	check := func(s *running, fresh bool) {
		t.Helper()
		got, ok := s.Load(spaceA, "t/x")
		if !ok || !reflect.DeepEqual(got.Value, want.Value) {
			t.Fatalf("got %+v, %v", got, ok)
		}
		if age := want.Sent.Sub(got.Sent); fresh && (age < 0 || age > 2*time.Millisecond) || !fresh && !got.Sent.IsZero() {
			t.Errorf("sent %v, came back as %v", want.Sent, got.Sent)
		}
	}
	check(s, true)
	s.settle(t)
	check(s, true)
	for _, other := range []struct{ space, path string }{{spaceB, "t/x"}, {spaceA, "t/"}, {spaceA, "t/xx"}} {
		if _, ok := s.Load(other.space, other.path); ok {
			t.Errorf("%v knows it too", other)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Load(spaceA, "t/x"); ok {
		t.Error("a closed store answers")
	}
	check(start(t, Options{FS: fs}), false)
}

func TestNewestWinsAndAttributesStay(t *testing.T) {
	s := start(t, Options{FS: vfs.NewMem()})
	first := at("x", 1)
	first.Value.Attributes = map[string]string{"Content-Type": "text/plain"}
	again, changed, older := at("x", 1), at("x", 2), at("x", 3)
	older.Sent = first.Sent.Add(-time.Second)
	for _, settled := range []bool{true, false} { // by the writer and in the queue
		pause := func() {
			if settled {
				s.settle(t)
			}
		}
		s.Forget(spaceA, "x")()
		s.Keep(spaceA, "x", first)
		pause()
		s.Keep(spaceA, "x", older)
		pause()
		s.Keep(spaceA, "x", again)
		s.settle(t)
		if a, _ := s.Load(spaceA, "x"); !reflect.DeepEqual(a.Value, first.Value) {
			t.Errorf("settled %v: got %+v", settled, a.Value)
		}
		s.Keep(spaceA, "x", changed)
		s.settle(t)
		if a, _ := s.Load(spaceA, "x"); a.Value.Version != changed.Value.Version || a.Value.Attributes != nil {
			t.Errorf("settled %v: got %+v", settled, a.Value)
		}
	}
}

func TestAFenceThatTakesNothingAwayCostsNoSync(t *testing.T) {
	s := start(t, Options{FS: vfs.NewMem(), Registerer: prometheus.NewRegistry()})
	s.Forget(spaceA, "new file")()
	if n := testutil.ToFloat64(s.metrics.fences); n != 0 {
		t.Errorf("%v fences were written for a path that nothing was known of", n)
	}
	s.Keep(spaceA, "x", at("x", 1))
	s.settle(t)
	s.Forget(spaceA, "x")()
	if n := testutil.ToFloat64(s.metrics.fences); n != 1 {
		t.Errorf("%v fences were written for a path that was known", n)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	s, err := New(Options{Dir: "/meta", Size: MinSize, Memory: MinMemory, FS: vfs.NewMem()}) // nobody writes
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range 100_000 {
		if s.Keep(spaceA, fmt.Sprint(i), at(fmt.Sprint(i), i)) {
			taken++
		}
	}
	if s.pending.weight > s.opts.queue() || taken == 0 || len(s.pending.ops) != taken {
		t.Errorf("%d answers, %d bytes wait; the limit is %d", taken, s.pending.weight, s.opts.queue())
	}
}

// du is what a directory takes on disk.
func du(t testing.TB, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		n += allocated(d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The directory never takes more than its limit, whatever is kept, and what is used stays when the rest goes.
func TestTheLimitHoldsAndWhatIsUsedStays(t *testing.T) {
	const size = MinSize
	s := start(t, Options{Dir: filepath.Join(t.TempDir(), "metadata"), Size: size, Memory: MinMemory})
	path := func(i int) string { return fmt.Sprintf("t/part-%09d-%x", i, i*7919) }
	var most int64
	kept := 0
	for i := 0; s.metrics.count(t) < 3 && i < 4_000_000; i++ {
		a := at(path(i), i)
		a.Value.Attributes = map[string]string{"X-Amz-Meta-Noise": fmt.Sprintf("%x", scrambled(i))}
		for !s.Keep(spaceA, path(i), a) {
			s.settle(t)
		}
		kept++
		if i%2000 == 0 {
			s.settle(t)
			most = max(most, du(t, s.opts.Dir))
			if _, ok := s.Load(spaceA, path(0)); !ok {
				t.Fatalf("an answer that is used was lost after %d others", i)
			}
		}
	}
	t.Logf("%d answers, at most %d of %d bytes, %v rotations", kept, most, size, s.metrics.count(t))
	if most > size {
		t.Errorf("%d bytes on disk, the limit is %d", most, size)
	}
	if _, ok := s.Load(spaceA, path(1)); ok {
		t.Error("nothing was dropped")
	}
}

func (m *metrics) count(t testing.TB) int { return int(testutil.ToFloat64(m.rotated)) }

func scrambled(i int) []byte {
	b := make([]byte, 256)
	for j := range b {
		i = i*6364136223846793005 + 1442695040888963407
		b[j] = byte(i >> 33)
	}
	return b
}

// Every byte of every file is damaged in turn, as far as time allows: what is found is what was kept, or nothing is.
func TestDamageCostsAnswersOnly(t *testing.T) {
	clean := vfs.NewMem()
	s := start(t, Options{FS: clean})
	for i := range 2000 {
		s.Keep(spaceA, fmt.Sprint("p/", i), at(fmt.Sprint("p/", i), i))
	}
	s.settle(t)
	if err := s.trees.young.db.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := 2000; i < 2100; i++ {
		s.Keep(spaceA, fmt.Sprint("p/", i), at(fmt.Sprint("p/", i), i))
	}
	s.stop()
	dir := "/meta/generation-1-00000001"
	names, err := clean.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	begunAnew := 0
	for n, name := range names {
		for k := range 4 {
			fs := vfs.NewMem()
			if _, err := vfs.Clone(clean, fs, "/meta", "/meta"); err != nil {
				t.Fatal(err)
			}
			if !damage(t, fs, dir+"/"+name, 2*n+k, k) {
				continue
			}
			o := start(t, Options{FS: fs})
			lost := 0
			for i := range 2100 {
				path := fmt.Sprint("p/", i)
				a, ok := o.Load(spaceA, path)
				if ok && !reflect.DeepEqual(a.Value, withTime(at(path, i), a).Value) {
					t.Fatalf("%s damaged: %s came back as %+v", name, path, a.Value)
				}
				if !ok {
					lost++
				}
			}
			if lost > 0 {
				begunAnew++
			}
			until(t, func() bool { return o.Keep(spaceA, "after", at("after", 1)) }) // it goes on
			o.stop()
		}
	}
	if begunAnew == 0 {
		t.Error("no damage was noticed: the test damages nothing")
	}
}

// withTime gives an answer the time of modification of another.
func withTime(a, other answer) answer {
	a.Value.ModTime = other.Value.ModTime
	return a
}

// damage flips bits of a file, at a place that k chooses.
func damage(t *testing.T, fs vfs.FS, name string, seed, k int) bool {
	t.Helper()
	info, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() == 0 || info.IsDir() || strings.HasSuffix(name, "LOCK") {
		return false
	}
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	off := (info.Size()*int64(k)/4 + int64(seed)) % info.Size()
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x55
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	return true
}

// What was looked up before a fence must not be written after it.
func TestAFenceOvertakesAPromotion(t *testing.T) {
	s := start(t, Options{FS: vfs.NewMem()})
	a := at("x", 1)
	s.mu.Lock()
	before := s.fences
	s.mu.Unlock()
	s.Forget(spaceA, "x")()
	s.promote(spaceA+"x", a, before)
	if _, ok := s.Load(spaceA, "x"); ok {
		t.Error("it was taken over")
	}
	s.promote(spaceA+"x", a, before+1)
	if _, ok := s.Load(spaceA, "x"); !ok {
		t.Error("it is not taken over where no fence was raised")
	}
}

// What was found in the old generation must not replace what came to the young one meanwhile.
func TestAPromotionDoesNotReplaceANewerAnswer(t *testing.T) {
	s := start(t, Options{FS: vfs.NewMem()})
	newer, older := at("x", 2), at("x", 1)
	older.Sent = time.Time{}
	s.Keep(spaceA, "x", newer)
	s.settle(t)
	s.promote(spaceA+"x", older, 0)
	s.settle(t)
	if a, _ := s.Load(spaceA, "x"); a.Value.Version != newer.Value.Version {
		t.Errorf("got %s", a.Value.Version)
	}
}
