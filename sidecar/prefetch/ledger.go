package prefetch

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// Key names a page, as the page cache does.
type Key = [16]byte

// Owner hears what became of pages that were fetched for it. It is called without a lock held.
type Owner interface {
	// Used says that a reader came for the bytes [start, end) of the object.
	Used(start, end int64)
	// Lost says that none will be taken to have come.
	Lost(start, end int64)
}

// Waste is why bytes that were fetched ahead were of no use.
type Waste uint8

// The reasons.
const (
	Untouched Waste = iota // no reader came within Residency
	Evicted                // the cache had dropped the page when a reader came
	Lost                   // the origin was asked and the page did not come: a failure
	Cancelled              // the origin was asked, and the prefetch was cancelled
	Cut                    // bytes at the edge of a request that made no whole page
	wastes
)

// Wastes names the reasons, in the order of the constants.
var Wastes = [wastes]string{"untouched", "evicted", "failed", "cancelled", "cut"}

// Limits of a Ledger.
const (
	// Residency is how long a page that was fetched ahead is given to be of use.
	Residency = 2 * time.Minute
	// maxPages is the most pages that a Ledger watches, at some 150 bytes each.
	maxPages = 1 << 14
)

// Ledger watches pages from when they are asked for ahead until a reader comes for them or none has come. At any moment issued = useful + wasted +
// pending. All methods may be called in parallel.
type Ledger struct {
	now func() time.Time
	// filter counts the watched pages by a part of their keys, so that a hit on any other page costs one load.
	filter [1 << 12]atomic.Int32
	// watching counts them all.
	watching atomic.Int64

	mu struct {
		sync.Mutex
		pages map[Key]*watched
		order []*watched // by when they were claimed; the oldest at head
		head  int
		on    int64 // bytes claimed that have not come yet
		Account
	}
}

// Account is what a Ledger has counted, in bytes.
type Account struct {
	Issued, Useful, Pending int64
	Wasted                  [wastes]int64
}

// watched is one page.
type watched struct {
	key        Key
	owner      Owner
	start, end int64
	came       time.Time // zero: not yet
	touched    bool
	gone       bool // left the ledger
}

// NewLedger makes an empty ledger. now tells the time.
func NewLedger(now func() time.Time) *Ledger {
	l := &Ledger{now: now}
	l.mu.pages = make(map[Key]*watched)
	return l
}

func (l *Ledger) slot(k *Key) *atomic.Int32 {
	return &l.filter[binary.LittleEndian.Uint64(k[8:])%uint64(len(l.filter))]
}

// Claim enters a page that is about to be asked for, if no more than limit bytes are then claimed or pending. False as well if it is watched already.
func (l *Ledger) Claim(k Key, owner Owner, start, end, limit int64) (ok, full bool) {
	told := l.expire()
	defer told.tell()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.pages[k]; ok {
		return false, false
	}
	if l.mu.on+l.mu.Pending+end-start > limit || len(l.mu.pages) >= maxPages {
		return false, true
	}
	l.enterLocked(k, owner, start, end)
	return true, false
}

func (l *Ledger) enterLocked(k Key, owner Owner, start, end int64) *watched {
	w := &watched{key: k, owner: owner, start: start, end: end}
	l.mu.pages[k] = w
	l.mu.order = append(l.mu.order, w)
	l.mu.on += end - start
	l.slot(&k).Add(1)
	l.watching.Add(1)
	return w
}

func (l *Ledger) leaveLocked(w *watched) {
	w.gone = true
	delete(l.mu.pages, w.key)
	l.slot(&w.key).Add(-1)
	l.watching.Add(-1)
}

// Came says that a page that was claimed has come.
func (l *Ledger) Came(k Key) { l.end(k, func(w *watched) { l.cameLocked(w) }) }

func (l *Ledger) cameLocked(w *watched) {
	n := w.end - w.start
	l.mu.Issued += n
	if w.touched {
		l.mu.Useful += n
		l.leaveLocked(w)
		return
	}
	l.mu.Pending += n
	w.came = l.now()
}

// Left says that a page that was claimed was not asked for.
func (l *Ledger) Left(k Key) { l.end(k, l.leaveLocked) }

// Failed says that a page that was claimed was asked for and did not come.
func (l *Ledger) Failed(k Key, why Waste) {
	l.end(k, func(w *watched) {
		l.mu.Issued += w.end - w.start
		l.mu.Wasted[why] += w.end - w.start
		l.leaveLocked(w)
	})
}

// end ends the waiting for a claimed page.
func (l *Ledger) end(k Key, how func(*watched)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.mu.pages[k]
	if !ok || !w.came.IsZero() {
		return
	}
	l.mu.on -= w.end - w.start
	how(w)
}

// Add enters a page that has come unclaimed, with an answer that was asked for anyway.
func (l *Ledger) Add(k Key, owner Owner, start, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.mu.pages[k]; ok {
		return
	}
	if len(l.mu.pages) >= maxPages {
		l.mu.Issued += end - start
		l.mu.Wasted[Cut] += end - start
		return
	}
	w := l.enterLocked(k, owner, start, end)
	l.mu.on -= end - start
	l.cameLocked(w)
}

// Waste counts bytes that came and made no page.
func (l *Ledger) Waste(n int64, why Waste) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.Issued += n
	l.mu.Wasted[why] += n
}

// Watches reports whether a page may be watched. It takes no lock.
func (l *Ledger) Watches(k *Key) bool { return l.slot(k).Load() != 0 }

// Empty reports whether no page is watched. Every read asks, so it takes no lock.
func (l *Ledger) Empty() bool { return l.watching.Load() == 0 }

// Touch says that a reader came for a page, and whether it found it resident (or on its way). Of a page that is not watched it takes no notice.
func (l *Ledger) Touch(k Key, resident bool) {
	if !l.Watches(&k) {
		return
	}
	l.mu.Lock()
	w, ok := l.mu.pages[k]
	if !ok || w.touched {
		l.mu.Unlock()
		return
	}
	flying, n := w.came.IsZero(), w.end-w.start
	switch {
	case flying:
		w.touched = true
	case resident:
		l.mu.Pending -= n
		l.mu.Useful += n
		l.leaveLocked(w)
	default:
		l.mu.Pending -= n
		l.mu.Wasted[Evicted] += n
		l.leaveLocked(w)
	}
	l.mu.Unlock()
	switch {
	case w.owner == nil:
	case flying || resident:
		w.owner.Used(w.start, w.end)
	default:
		w.owner.Lost(w.start, w.end)
	}
}

// lost are pages whose owners are to be told that nobody came.
type lost []*watched

func (l lost) tell() {
	for _, w := range l {
		if w.owner != nil {
			w.owner.Lost(w.start, w.end)
		}
	}
}

// expire takes out what came longer than Residency ago.
func (l *Ledger) expire() lost {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out lost
	oldest := l.now().Add(-Residency)
	for l.mu.head < len(l.mu.order) {
		w := l.mu.order[l.mu.head]
		if !w.gone {
			if w.came.IsZero() || w.came.After(oldest) {
				break
			}
			l.mu.Pending -= w.end - w.start
			l.mu.Wasted[Untouched] += w.end - w.start
			l.leaveLocked(w)
			out = append(out, w)
		}
		l.mu.order[l.mu.head] = nil
		l.mu.head++
	}
	if l.mu.head > len(l.mu.order)/2 {
		l.mu.order = append(l.mu.order[:0:0], l.mu.order[l.mu.head:]...)
		l.mu.head = 0
	}
	return out
}

// Account returns what was counted so far.
func (l *Ledger) Account() Account {
	l.expire().tell()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.Account
}

// Watched is how many pages are watched.
func (l *Ledger) Watched() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.pages)
}
