package segfile

// Plan says which bytes of a segment answer a read: the record's header, which holds the sums, and the blocks touched.
type Plan struct {
	Loc    Location
	Header int   // bytes of the record's header
	First  int   // the first block
	Data   int   // bytes from the first block's start to the last block's end
	At     int64 // of the first block in the segment
	Skip   int   // bytes of the first block before what was asked for
}

// PlanRead plans to read n bytes at off of a page that lies at loc: 0 <= off, 0 < n, off+n <= loc.Length. The buffer that Check looks at holds
// Header+Data bytes: the record's header from loc.Off, then Data bytes from At, which follow it where First is 0. What was asked for
// starts at Header+Skip.
func PlanRead(loc Location, off, n int) Plan {
	hs := RecordHeaderSize(loc.Length)
	first := off / BlockSize
	end := min(((off+n-1)/BlockSize+1)*BlockSize, loc.Length)
	return Plan{Loc: loc, Header: hs, First: first, Data: end - first*BlockSize, At: loc.Off + int64(hs+first*BlockSize), Skip: off - first*BlockSize}
}

// Check compares what was read with the sums, after the header that holds them has proved itself.
func (p Plan) Check(seed uint32, b []byte) bool {
	r, need, err := ParseRecord(b[:p.Header], seed, p.Loc.Off)
	if err != nil || need > 0 || r.Key != p.Loc.Key || r.Length != p.Loc.Length {
		return false
	}
	return CheckBlocks(b[:p.Header], p.First, b[p.Header:p.Header+p.Data])
}
