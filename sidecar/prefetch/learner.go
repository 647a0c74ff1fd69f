package prefetch

import (
	"container/list"
	"sync"
	"time"

	"github.com/alio-lake/alio/formats"
)

// What a Learner goes by.
const (
	// learnFrom is how many files of a table its columns are learnt from: those that were opened last.
	learnFrom = 8
	// learnLeast is of how many of them something must be known.
	learnLeast = 3
	// forget is after how long what was seen of a file counts no more.
	forget = 10 * time.Minute
	// settled is after how long a file of which no column was read counts as one of which none will be.
	settled = 5 * time.Second
	// maxRanges is the most ranges that are remembered of a file.
	maxRanges = 512
	// maxTables is the most tables.
	maxTables = 256
	// MaxTail is the most bytes of a file's end that are asked for in its first read.
	MaxTail = 1 << 20
)

// DefaultMemory bounds what a Learner keeps, in bytes.
const DefaultMemory = 8 << 20

// Learner knows what the readers of each table lately read of its files, within a limit of bytes. All methods may be called in parallel.
type Learner struct {
	limit int64
	now   func() time.Time

	mu struct {
		sync.Mutex
		tables map[string]*table
		lru    *list.List // of *table; front: the one used last
		bytes  int64
	}
}

// table is what is known of one table.
type table struct {
	root   string
	place  *list.Element
	files  []*File // by when they were opened
	record Record
	kinds  map[string]*Record // of its metadata, by kind
}

// File is one file of a table that is being read. Its fields are guarded by the Learner's lock.
type File struct {
	learner *Learner
	table   *table
	id      string
	size    int64
	opened  time.Time
	ranges  []formats.Extent // read by readers: in order, without overlap
	pages   []formats.Extent // in which that came: the same
	wanted  []formats.Extent // what Wanted has told: in order, without overlap
	at      int64            // where the last read began that was not of the file's end
	columns *formats.Columns
	weight  int64
	looking sync.Mutex // held by who finds out where the columns lie
}

// Look calls find while nobody else finds out where the file's columns lie: what one has found the next begins with.
func (f *File) Look(find func()) {
	f.looking.Lock()
	defer f.looking.Unlock()
	find()
}

// NewLearner makes one that knows nothing.
func NewLearner(limit int64, now func() time.Time) *Learner {
	l := &Learner{limit: limit, now: now}
	l.mu.tables, l.mu.lru = make(map[string]*table), list.New()
	return l
}

const (
	tableBytes = 400
	fileBytes  = 300
	rangeBytes = 16
)

// Read notes that a reader reads n bytes at off of a file, which id names with its version. look says that it is time to find out where the file's columns
// lie: it is new, or its end, which tells that, has just been read.
func (l *Learner) Read(root, id string, size, off, n int64) (f *File, look bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tableLocked(root)
	for _, f := range t.files {
		if f.id == id {
			if off+n < size {
				f.at = off
			}
			l.noteLocked(f, off, off+n)
			return f, f.columns == nil && off+n == size
		}
	}
	f = &File{learner: l, table: t, id: id, size: size, opened: l.now()}
	if len(t.files) == learnFrom {
		l.dropLocked(t.files[0])
	}
	t.files = append(t.files, f)
	l.weighLocked(f)
	l.trimLocked(f)
	l.noteLocked(f, off, off+n)
	return f, true
}

func (l *Learner) tableLocked(root string) *table {
	t, ok := l.mu.tables[root]
	if !ok {
		t = &table{root: root, kinds: make(map[string]*Record)}
		t.place = l.mu.lru.PushFront(t)
		l.mu.tables[root] = t
		l.mu.bytes += tableBytes + int64(len(root))
		l.trimLocked(nil)
		return t
	}
	l.mu.lru.MoveToFront(t.place)
	return t
}

// noteLocked adds a range to those of a file, unless there are too many.
func (l *Learner) noteLocked(f *File, start, end int64) {
	if f.table == nil || start >= end {
		return
	}
	f.ranges = with(f.ranges, start, end)
	l.weighLocked(f)
	l.trimLocked(f)
}

// with adds a range to some, unless there are too many.
func with(ranges []formats.Extent, start, end int64) []formats.Extent {
	i := 0
	for i < len(ranges) && ranges[i].End < start {
		i++
	}
	j := i
	for ; j < len(ranges) && ranges[j].Start <= end; j++ {
		start, end = min(start, ranges[j].Start), max(end, ranges[j].End)
	}
	if i == j && len(ranges) == maxRanges {
		return ranges
	}
	kept := append([]formats.Extent{{Start: start, End: end}}, ranges[j:]...)
	return append(ranges[:i], kept...)
}

func (l *Learner) weighLocked(f *File) {
	n := int64(fileBytes + len(f.id) + rangeBytes*(cap(f.ranges)+cap(f.pages)+cap(f.wanted)))
	if f.columns != nil {
		n += int64(f.columns.MemoryBytes())
	}
	l.mu.bytes += n - f.weight
	f.weight = n
}

func (l *Learner) dropLocked(f *File) {
	t := f.table
	for i := range t.files {
		if t.files[i] == f {
			t.files = append(t.files[:i:i], t.files[i+1:]...)
			break
		}
	}
	l.mu.bytes -= f.weight
	f.table, f.columns, f.ranges, f.pages, f.wanted, f.weight = nil, nil, nil, nil, nil, 0
}

// trimLocked drops what is over the limits: of the table used least recently the oldest file, then the table. keep (may be nil) stays.
func (l *Learner) trimLocked(keep *File) {
	for l.mu.bytes > l.limit || l.mu.lru.Len() > maxTables {
		t := l.mu.lru.Back().Value.(*table)
		if len(t.files) > 0 && t.files[0] != keep {
			l.dropLocked(t.files[0])
			continue
		}
		if l.mu.lru.Len() == 1 {
			return
		}
		for len(t.files) > 0 {
			l.dropLocked(t.files[0])
		}
		l.mu.lru.Remove(t.place)
		delete(l.mu.tables, t.root)
		l.mu.bytes -= tableBytes + int64(len(t.root))
	}
}

// Note notes that bytes [start, end) of the file were read, by a reader that Read was not told of.
func (f *File) Note(start, end int64) {
	l := f.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteLocked(f, start, end)
}

// Came notes that bytes [start, end) of the file have come with what a reader has read.
func (f *File) Came(start, end int64) {
	l := f.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.table == nil || start >= end {
		return
	}
	f.pages = with(f.pages, start, end)
	l.weighLocked(f)
	l.trimLocked(f)
}

// Found tells where the file's columns lie. A file whose columns take more than an eighth of the limit is forgotten.
func (f *File) Found(c *formats.Columns) {
	l := f.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.table == nil {
		return
	}
	if int64(c.MemoryBytes()) > l.limit/8 {
		l.dropLocked(f)
		return
	}
	f.columns = c
	l.weighLocked(f)
	l.trimLocked(f)
}

// seenLocked returns the table's files, but for one, that tell something by now.
func (l *Learner) seenLocked(t *table, but *File) []*File {
	var out []*File
	now := l.now()
	for _, f := range t.files {
		if f == but || f.columns == nil || now.Sub(f.opened) > forget {
			continue
		}
		if read := len(f.ranges) > 0 && f.ranges[0].Start < f.columns.DataEnd(); read || now.Sub(f.opened) > settled {
			out = append(out, f)
		}
	}
	return out
}

// Columns is where the file's columns lie, as far as it was Found; nil: that is not known.
func (f *File) Columns() *formats.Columns {
	f.learner.mu.Lock()
	defer f.learner.mu.Unlock()
	return f.columns
}

// Tells reports whether who has read bytes [start, end) of the file may know more of its columns than is known here.
func (f *File) Tells(start, end int64) bool {
	c := f.Columns()
	return c != nil && c.Tells(start, end)
}

// Wanted tells what of the file its readers are likely to read: the columns of which the readers of three in four of the table's last files read at least half.
// nil: nothing is known, or what was fetched before was of little use.
func (f *File) Wanted() []formats.Extent {
	l := f.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	out := f.columnsLocked()
	for _, e := range out {
		f.wanted = with(f.wanted, e.Start, e.End)
	}
	if f.table != nil {
		l.weighLocked(f)
		l.trimLocked(f)
	}
	return out
}

// Footers tells what is to be read to know more of the columns that are wanted: the footers of up to n stripes of an ORC file, those that its reader comes to next.
func (f *File) Footers(n int) []formats.Extent {
	l := f.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.columns == nil || len(f.votesLocked()) == 0 {
		return nil
	}
	return f.columns.Footers(f.at, n)
}

func (f *File) columnsLocked() []formats.Extent {
	votes := f.votesLocked()
	if len(votes) == 0 {
		return nil
	}
	return f.columns.Extents(func(name uint64) bool { return votes[name] })
}

// votesLocked are the columns that are wanted of the table's next files.
func (f *File) votesLocked() map[uint64]bool {
	l := f.learner
	if f.table == nil || f.columns == nil || !f.table.record.trusted(l.now()) {
		return nil
	}
	seen := l.seenLocked(f.table, f)
	if len(seen) < learnLeast {
		return nil
	}
	votes, out := map[uint64]int{}, map[uint64]bool{}
	for _, other := range seen {
		for name, share := range other.columns.Shares(other.ranges, other.pages) {
			if share >= 0.5 {
				if votes[name]++; 4*votes[name] >= 3*len(seen) {
					out[name] = true
				}
			}
		}
	}
	return out
}

// Tail tells how many bytes of the end of a table's next file its readers are likely to read, where that is more than least: those that lately read indexes
// before the footer, or a long footer, are given them with it. 0: no more than least.
func (l *Learner) Tail(root string, least int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.mu.tables[root]
	if !ok || !t.record.trusted(l.now()) {
		return 0
	}
	seen := l.seenLocked(t, nil)
	longer, most := 0, int64(0)
	for _, f := range seen {
		if n := f.tailLocked(); n > least {
			longer++
			most = max(most, n)
		}
	}
	if len(seen) < learnLeast || 4*longer < 3*len(seen) {
		return 0
	}
	return min(most+most/16, MaxTail)
}

// tailLocked is how much of the file's end, behind its data, was read: down to the first byte that was.
func (f *File) tailLocked() int64 {
	for _, r := range f.ranges {
		if r.End > f.columns.DataEnd() {
			return f.size - max(r.Start, f.columns.DataEnd())
		}
	}
	return 0
}

// Used implements Owner.
func (f *File) Used(start, end int64) { f.judge(start, end, true) }

// Lost implements Owner.
func (f *File) Lost(start, end int64) { f.judge(start, end, false) }

func (f *File) judge(start, end int64, used bool) {
	l := f.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.table == nil {
		return
	}
	f.table.record.judge(end-start, used)
	if !used {
		return
	}
	for _, e := range f.wanted { // a page may hold other columns as well, of which nobody knows whether they were read
		l.noteLocked(f, max(start, e.Start), min(end, e.End))
	}
}

// Kind is how the prefetches of one kind of a table's metadata fared.
type Kind struct {
	learner    *Learner
	root, kind string
}

// Kind returns the record of a kind of metadata of a table. It is an Owner.
func (l *Learner) Kind(root, kind string) Kind { return Kind{l, root, kind} }

// Trusted reports whether what was fetched before was of use, as far as it is known.
func (k Kind) Trusted() bool {
	l := k.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.mu.tables[k.root]
	if !ok || t.kinds[k.kind] == nil {
		return true
	}
	return t.kinds[k.kind].trusted(l.now())
}

// Used implements Owner.
func (k Kind) Used(start, end int64) { k.judge(end-start, true) }

// Lost implements Owner.
func (k Kind) Lost(start, end int64) { k.judge(end-start, false) }

func (k Kind) judge(n int64, used bool) {
	l := k.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tableLocked(k.root)
	if t.kinds[k.kind] == nil {
		if len(t.kinds) >= 32 {
			return
		}
		t.kinds[k.kind] = new(Record)
	}
	t.kinds[k.kind].judge(n, used)
}

// Usage returns how many tables are known and the bytes that all takes.
func (l *Learner) Usage() (tables int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.lru.Len(), l.mu.bytes
}

// Record says how well prefetches of one kind fared.
type Record struct {
	used, lost int64 // bytes
	failures   int   // pages lost
	until      time.Time
}

// What ends trust: three pages lost that are over a tenth of all. It comes back after a pause, with half of what is held against it.
const (
	maxFailures = 3
	maxLost     = 10
	pause       = 5 * time.Minute
)

func (r *Record) judge(n int64, used bool) {
	if used {
		r.used += n
		return
	}
	r.lost += n
	r.failures++
}

func (r *Record) trusted(now time.Time) bool {
	if r.failures < maxFailures || r.lost*maxLost <= r.used+r.lost {
		return true
	}
	switch {
	case r.until.IsZero():
		r.until = now.Add(pause)
	case now.After(r.until):
		*r = Record{used: r.used / 2, lost: r.lost / 2, failures: maxFailures - 1}
		return true
	}
	return false
}
