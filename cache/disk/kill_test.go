package disk

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alio-lake/alio/cache"
	"github.com/alio-lake/alio/cache/segfile"
	"github.com/alio-lake/alio/internal/vfs"
)

// The long form of TestKillNine: ALIO_KILLS=20 go test -run TestKillNine -v ./cache/disk
const (
	killsEnv = "ALIO_KILLS"
	killEnv  = "ALIO_DISK_TEST_DIR" // "<seed> <directory>": this process is the one that is killed
	killKeys = 1500                 // of 27 KB on average: two and a half times the tier's size
)

func killOptions(dir string) Options {
	o := testOptions(vfs.OS)
	o.Dir, o.Size, o.SegmentSize = dir, 16<<20, 1<<20
	return o
}

// killPage is page n, whose length and bytes follow from n.
func killPage(n uint64) (cache.Key, []byte) {
	b := make([]byte, 1+n*7919%54_000)
	_, block := manyPage(n, make([]byte, manyLength))
	for at := 0; at < len(b); at += manyLength {
		le.PutUint64(block, uint64(at))
		copy(b[at:], block)
	}
	return cache.HashPart("kill").Page(int64(n), int64(len(b))), b
}

// TestKillNine kills a process with signal 9, at random moments, while it stores and reads pages in a directory that is full. Each start after
// that must succeed, with every page that lay in a sealed segment, and no byte that is not the page's.
func TestKillNine(t *testing.T) {
	if text := os.Getenv(killEnv); text != "" {
		storeForEver(t, text)
	}
	rng := rand.New(rand.NewPCG(seed(t), 12))
	kills := 3
	if text := os.Getenv(killsEnv); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		need(t, err)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	expected, kept, evicting := 0, 0, 0
	for round := range kills {
		after := time.Duration(20+rng.IntN(1200)) * time.Millisecond
		r := killOne(t, dir, rng.Uint64(), after)
		e, k := r.check(t, dir)
		expected, kept = expected+e, kept+k
		if r.gone > 0 {
			evicting++
		}
		t.Logf("kill %d after %v: %d pages stored, %d segments evicted; %d pages were in sealed segments, %d of them are there", round, after, r.stored, r.gone, e, k)
	}
	t.Logf("%d kills, %d of them while it evicted: %d of %d pages in sealed segments were kept (%.2f %%)", kills, evicting, kept, expected, 100*float64(kept)/float64(max(1, expected)))
	if expected == 0 || float64(kept) < 0.95*float64(expected) {
		t.Errorf("%d of %d pages are left", kept, expected)
	}
}

// report is what a process said before it was killed.
type report struct {
	sealed map[uint64][]uint64 // the pages of each sealed segment, by its number
	stored int
	gone   int
}

// killOne runs a process on the directory and kills it.
func killOne(t *testing.T, dir string, seed uint64, after time.Duration) report {
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillNine$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", killEnv, seed, dir))
	out, err := cmd.StdoutPipe()
	need(t, err)
	need(t, cmd.Start())
	var timer *time.Timer
	r := report{sealed: map[uint64][]uint64{}}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	var said []string
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		var numbers []uint64
		for text := range strings.FieldsSeq(rest) {
			if n, err := strconv.ParseUint(text, 10, 64); err == nil {
				numbers = append(numbers, n)
			}
		}
		switch {
		case word == "open":
			timer = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		case word == "sealed" && len(numbers) > 0:
			r.sealed[numbers[0]] = numbers[1:]
		case word == "gone" && len(numbers) == 1:
			r.gone++
			delete(r.sealed, numbers[0])
		case word == "stored":
			r.stored++
		case !strings.HasPrefix(lines.Text(), "="):
			said = append(said, lines.Text())
		}
	}
	if err := cmd.Wait(); timer == nil || timer.Stop() || err == nil || err.Error() != "signal: killed" {
		t.Fatalf("the process ended by itself: %v\n%s", err, strings.Join(said, "\n"))
	}
	return r
}

// check opens the directory that the process left, and counts the pages of its sealed segments that are there.
func (r report) check(t *testing.T, dir string) (expected, kept int) {
	files := map[uint64]bool{}
	for _, name := range segmentFiles(t, vfs.OS, dir) {
		if _, seq, ok := segfile.ParseName(filepath.Base(name)); ok {
			files[seq] = true
		}
	}
	h := openTier(t, killOptions(dir))
	defer h.stop()
	if rec := h.Stats().Recovery; rec.Skipped > 0 {
		t.Errorf("%+v", rec)
	}
	there := map[uint64]bool{}
	for n := range uint64(killKeys) {
		k, data := killPage(n)
		there[n] = h.get(k, data) == nil // which compares
	}
	for seq, pages := range r.sealed {
		for _, n := range pages {
			expected++
			if there[n] {
				kept++
			} else if files[seq] {
				t.Errorf("page %d is lost, although its sealed segment %d was there", n, seq)
			}
		}
	}
	checkLive(t, h.Tier)
	return expected, kept
}

// storeForEver is the process that is killed. It says what it stored, what lies in sealed segments, and which of them it evicts.
func storeForEver(t *testing.T, text string) {
	var seed uint64
	var dir string
	_, err := fmt.Sscan(text, &seed, &dir)
	need(t, err)
	h := openTier(t, killOptions(dir))
	s := &segmentSayer{tier: h.Tier, numbers: map[cache.Key]uint64{}, said: map[uint64]bool{}}
	for n := range uint64(killKeys) {
		k, _ := killPage(n)
		s.numbers[k] = n
	}
	s.say()
	fmt.Println("open")
	for g := range uint64(2) {
		go func() {
			rng := rand.New(rand.NewPCG(seed, g))
			for {
				k, data := killPage(rng.Uint64N(killKeys))
				_ = h.get(k, data)
				if t.Failed() {
					fmt.Println("wrong bytes")
					os.Exit(3)
				}
			}
		}()
	}
	rng := rand.New(rand.NewPCG(seed, 9))
	room := make(chan struct{}, 16)
	for {
		n := rng.Uint64N(killKeys)
		k, data := killPage(n)
		room <- struct{}{}
		if !h.Write(k, uint8(n%3), data, func(ok bool) {
			if ok {
				s.say()
				fmt.Println("stored", n)
			}
			<-room
		}) {
			<-room
		}
	}
}

// segmentSayer prints which segments were sealed, with their pages, and which are gone. It is called where nothing is sealed or evicted meanwhile:
// before the first write, and on the writer's goroutine.
type segmentSayer struct {
	tier    *Tier
	numbers map[cache.Key]uint64
	mu      sync.Mutex
	said    map[uint64]bool
}

func (s *segmentSayer) say() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := map[uint64]bool{}
	s.tier.mu.Lock()
	segments := slices.Clone(s.tier.segments)
	s.tier.mu.Unlock()
	for _, seg := range segments {
		if !seg.is(stateSealed) {
			continue
		}
		seq := seg.header.Seq
		if now[seq] = true; s.said[seq] {
			continue
		}
		line := fmt.Sprint("sealed ", seq)
		s.tier.index.each(func(e entry) {
			if e.slot == seg.slot {
				line += fmt.Sprint(" ", s.numbers[e.key])
			}
		})
		fmt.Println(line)
	}
	for seq := range s.said {
		if !now[seq] {
			fmt.Println("gone", seq)
		}
	}
	s.said = now
}
