package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
)

// punchState says whether the file system can punch holes into removed files.
type punchState struct{ v atomic.Int32 }

const (
	punchUnknown int32 = iota // not tried, or the trial failed for another reason (a full device): it is tried again
	punchWorks
	punchUnsupported
)

func (p *punchState) works() bool   { return p.v.Load() == punchWorks }
func (p *punchState) unknown() bool { return p.v.Load() == punchUnknown }

// punchProbe is the file that probePunch makes; a start that was interrupted may leave it.
const punchProbe = "alio-punch.tmp"

const punchProbeSize = 4096 // of the slack that is kept free

// probePunch finds out, on a file that is removed and still open as a segment would be, whether a hole gives its room back and reads as zeros.
func (t *Tier) probePunch() {
	switch err := t.tryPunch(); {
	case err == nil:
		t.punch.v.Store(punchWorks)
	case errors.Is(err, errors.ErrUnsupported):
		t.punch.v.Store(punchUnsupported)
		t.o.Log.Warn().Err(err).Str("dir", t.o.Dir).Msg("this file system cannot punch holes; clients do not read cached pages from this directory themselves, they ask for them")
	default:
		t.punch.v.Store(punchUnknown)
		t.o.Log.Warn().Err(err).Str("dir", t.o.Dir).Msg("whether holes can be punched could not be found out, which is tried again; until then clients ask for cached pages")
	}
}

func (t *Tier) tryPunch() (err error) {
	path := filepath.Join(t.o.Dir, punchProbe)
	_ = t.o.FS.Remove(path) // left over
	f, err := t.o.FS.Create(path, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, punchProbeSize)
	for i := range b {
		b[i] = 1
	}
	_, err = f.WriteAt(b, 0)
	if err = errors.Join(err, t.o.FS.Remove(path)); err != nil {
		return err
	}
	if err := f.PunchHole(0, punchProbeSize); err != nil {
		return err
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	for _, c := range b {
		if c != 0 {
			return fmt.Errorf("%w: a punched hole does not read as zeros", errors.ErrUnsupported)
		}
	}
	return nil
}
