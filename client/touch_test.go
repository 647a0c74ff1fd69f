package client

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alio-lake/alio/cache/segfile"
)

func (f *fake) touches() (pages int, reads uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.touched {
		pages++
		reads += n
	}
	return pages, reads
}

// TestTouches: local reads are told with the next call, by the timer, and by Close, each once.
func TestTouches(t *testing.T) {
	r := newRig(t)
	o := r.object("a", 10_000, 1000)
	r.storeAll(o)
	f := r.open("a")
	for range 5 {
		r.want(f, o, 0, 3000)
	}
	r.object("b", 10, 10)
	r.open("b")
	if pages, reads := r.fake.touches(); pages != 3 || reads != 15 {
		t.Fatalf("%d pages, %d reads after the next call", pages, reads)
	}
	if n := r.opens[1].GetTouches().GetBytes(); n != 15_000 {
		t.Fatalf("%d bytes were told", n)
	}
	if n := r.touched[o.part.Page(1000, 1000)]; n != 5 {
		t.Fatalf("page 1 was read 5 times, %d were told", n)
	}
	r.want(f, o, 9000, 1000)
	r.want(f, o, 0, 1000)
	need(t, r.Client.Close())
	if pages, reads := r.fake.touches(); pages != 4 || reads != 17 || r.metricAfterClose() != 5 {
		t.Fatalf("%d pages, %d reads after Close, %v told", pages, reads, r.metricAfterClose())
	}
}

func (r *rig) metricAfterClose() uint64 { return r.Client.touches.sent.Load() }

// TestTouchTimer: nothing runs before a read and after all was told; a full list goes at once.
func TestTouchTimer(t *testing.T) {
	r := newRig(t, func(o *Options) { o.TouchInterval = 20 * time.Millisecond })
	o := r.object("a", 10_000, 2)
	r.storeAll(o)
	f := r.open("a")
	r.want(f, o, 0, 10)
	eventually(t, "they are told", func() bool { pages, _ := r.fake.touches(); return pages == 5 })
	r.Client.o.TouchInterval = time.Hour
	r.want(f, o, 0, 10_000)
	eventually(t, "a full list is told", func() bool { pages, _ := r.fake.touches(); return pages >= maxTouches })
	if pages, _ := r.fake.touches(); pages > maxTouches+5 {
		t.Fatalf("%d pages", pages)
	}
}

// TestIdleDescriptors: what nobody reads for a while is closed, and then nothing runs.
func TestIdleDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{Address: "/nowhere/s"})
		need(t, err)
		d := newDirectory(t.TempDir(), 1)
		var closed atomic.Int64
		c.segments.openFile = func(path string) (segmentFile, error) {
			instance, seq, _ := segfile.ParseName(filepath.Base(path))
			return &memorySegment{b: segfile.Header{Instance: instance, Seq: seq}.Encode(), closed: &closed}, nil
		}
		for i := range 3 {
			seg := c.segments.get(segmentName{instance: 1, seq: uint64(i), dir: d})
			h, err := c.segments.acquire(t.Context(), seg)
			need(t, err)
			h.release()
		}
		c.touches.add(&page{})
		<-time.After(c.o.TouchInterval + time.Second)
		if c.segments.descriptors.Load() != 3 {
			t.Fatal("closed too early")
		}
		<-time.After(3 * idleAfter)
		if c.segments.descriptors.Load() != 0 || closed.Load() != 3 {
			t.Fatalf("%d open, %d closed", c.segments.descriptors.Load(), closed.Load())
		}
		if c.touches.timer != nil {
			t.Fatal("a timer runs")
		}
		need(t, c.Close())
	})
}
