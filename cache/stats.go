package cache

// Stats is what the cache did since it was made, and what it holds now. The bytes are bytes; see metrics.go for what each counts.
type Stats struct {
	RequestedBytes int64 // reads asked for
	MemoryServed   int64 // bytes answered from memory
	DiskServed     int64 // bytes answered from disk
	OriginServed   int64 // bytes answered from a fill, by the origin
	PeerServed     int64 // bytes answered from a fill, by another sidecar
	FetchedBytes   int64 // fills asked the origin for
	RefetchedBytes int64 // of these, between missing pages though resident or on their way
	OverreadBytes  int64 // of these, in missing pages but outside the range asked for
	OfferedBytes   int64 // stored by Offer

	Hits, Misses   int64 // pages handed out
	Fills          int64 // origin requests that ended well
	FailedFills    int64
	CancelledFills int64
	SharedFills    int64 // missing pages that joined another read's fill
	DiskFallbacks  int64 // pages that the disk failed to deliver
	ShedPages      int64 // pages that the disk's write queue had no room for
	ReclaimedPages int64 // pages dropped before slow readers took them

	MemoryBytes, MemoryLimit         int64
	MemoryPages                      int
	FillMemoryBytes, FillMemoryLimit int64
	FillsInFlight                    int
}

// Stats returns a snapshot. The counters in it are each exact, but not all of one instant.
func (c *Cache) Stats() Stats {
	m := c.count
	s := Stats{
		RequestedBytes: m.requested(), FetchedBytes: m.fetched.Load(), RefetchedBytes: m.refetched.Load(),
		OverreadBytes: m.overread.Load(), OfferedBytes: m.offered.Load(), SharedFills: m.shared.Load(), ShedPages: m.shed.Load(),
		MemoryServed: m.read(fromMemory), DiskServed: m.read(fromDisk), OriginServed: m.read(fromOrigin), PeerServed: m.read(fromPeer),
		Fills: m.results[resultOK].Load(), CancelledFills: m.results[resultCancelled].Load(),
		MemoryLimit: c.mem.limit, FillMemoryLimit: c.fills.limit,
	}
	for i := resultUnavailable; i < len(m.results); i++ {
		s.FailedFills += m.results[i].Load()
	}
	for i := range m.fallbacks {
		s.DiskFallbacks += m.fallbacks[i].Load()
	}
	for i := range m.names {
		s.Hits += m.hits(i)
		s.Misses += m.misses[i].Load()
	}
	s.MemoryBytes, s.MemoryPages = c.mem.usage()
	s.FillMemoryBytes, s.ReclaimedPages, s.FillsInFlight = c.fills.usage()
	return s
}
