package cache

// Take returns the next piece of the range as Next does, on loan to the caller: it stays valid, whatever happens to the Reader, until the Buf is
// freed. At the end it is io.EOF. It is for those who hand bytes on to somebody that sends them later.
func (r *Reader) Take() (Buf, error) {
	if err := r.need(); err != nil {
		return Buf{}, err
	}
	b := NewBuf(r.piece, r.loan.free)
	r.piece, r.loan = nil, Buf{}
	return b, nil
}
