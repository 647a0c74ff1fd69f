package disk

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"

	"github.com/alio-lake/alio/cache"
)

// buckets of keys. Each has its devices in an order of its own, made once. 16,384 of them share the keys out to within 2 % of what the weights say
// for up to 8 devices (one standard deviation is sqrt((1-p)/(16384 p)) of a share p).
const buckets = 1 << 14

// routes orders the devices for each key by weighted rendezvous hashing (Thaler and Ravishankar, 1998; the weights as in Schindelhauer and
// Schomaker, 2005: the device with the greatest -weight/ln(u) wins, where u is a hash of key and device in (0, 1)). The home of a key is the
// first device in its order that takes pages now. So a lost device's share goes to the others by their weights, comes back with it, and
// nothing else moves.
type routes struct {
	n     int
	order []uint8 // n for each bucket
}

func newRoutes(dirs []Dir) routes {
	r := routes{n: len(dirs), order: make([]uint8, 0, buckets*len(dirs))}
	seeds := make([]uint64, len(dirs))
	for i, d := range dirs {
		sum := sha256.Sum256([]byte(d.Path))
		seeds[i] = le.Uint64(sum[:])
	}
	scores := make([]float64, len(dirs))
	for b := range uint64(buckets) {
		row := make([]uint8, len(dirs))
		for i, d := range dirs {
			row[i] = uint8(i)
			u := (float64(mix(seeds[i]+b*0x9e3779b97f4a7c15)>>11) + 0.5) / (1 << 53)
			scores[i] = -float64(d.Size) / math.Log(u)
		}
		slices.SortFunc(row, func(i, j uint8) int {
			switch a, b := scores[i], scores[j]; {
			case a > b:
				return -1
			case a < b:
				return 1
			}
			return int(i) - int(j)
		})
		r.order = append(r.order, row...)
	}
	return r
}

// mix is the finalizer of splitmix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// of returns the devices in the key's order. It takes bits of the key that the index of a device does not spread its pages by.
func (r *routes) of(k *cache.Key) []uint8 {
	b := int(le.Uint16(k[12:14])) % buckets
	return r.order[b*r.n : (b+1)*r.n : (b+1)*r.n]
}

// Contains implements cache.Disk: pages of a device that is set aside are not there.
func (x *Devices) Contains(k cache.Key) bool {
	for _, i := range x.routes.of(&k) {
		d := x.devices[i]
		if t := d.tier.Load(); d.readable(t) && t.index.contains(k) {
			return true
		}
	}
	return false
}

// Read implements cache.Disk. It asks every device's index, the key's home first, and one device: if that fails, so does the read.
func (x *Devices) Read(ctx context.Context, k cache.Key, pageLen, off, n int) (cache.Buf, error) {
	if pageLen < 1 || pageLen > cache.MaxPage || off < 0 || n < 1 || n > pageLen || off > pageLen-n {
		return cache.Buf{}, fmt.Errorf("%w: bytes %d+%d of a page of %d", cache.ErrAbsent, off, n, pageLen)
	}
	order := x.routes.of(&k)
	well := false
	for _, i := range order {
		d := x.devices[i]
		t := d.tier.Load()
		if !d.readable(t) {
			continue
		}
		well = true
		if buf, found, err := t.tryRead(ctx, k, pageLen, off, n); found {
			return buf, err
		}
	}
	return x.missed(order, k, well)
}

// missed answers a read of a page that no device has that is well; well is false if there is none.
func (x *Devices) missed(order []uint8, k cache.Key, well bool) (cache.Buf, error) {
	for _, i := range order {
		d := x.devices[i]
		if t := d.tier.Load(); !well || t != nil && !d.readable(t) && t.index.contains(k) {
			d.metrics.sick.Inc()
			return cache.Buf{}, cache.ErrSick
		}
	}
	x.devices[order[0]].metrics.absent.Inc()
	return cache.Buf{}, cache.ErrAbsent
}

// Write implements cache.Disk. A page that is on a device already is not written to another.
func (x *Devices) Write(k cache.Key, class uint8, data []byte, done func(stored bool)) bool {
	order := x.routes.of(&k)
	var home *Tier
	for _, i := range order {
		d := x.devices[i]
		t := d.tier.Load()
		if d.readable(t) && t.index.contains(k) {
			return t.Write(k, class, data, done) // which counts it as a duplicate
		}
		if home == nil && d.writable(t) {
			home = t
		}
	}
	if home == nil {
		x.devices[order[0]].metrics.shed.Inc()
		return false
	}
	return home.Write(k, class, data, done)
}

// Directories implements cache.Places.
func (x *Devices) Directories() []cache.Directory {
	var all []cache.Directory
	for _, d := range x.devices {
		if t := d.tier.Load(); d.readable(t) {
			all = append(all, t.Directories()...)
		}
	}
	return all
}

// Place implements cache.Places.
func (x *Devices) Place(k cache.Key) (cache.Place, bool) {
	for _, i := range x.routes.of(&k) {
		d := x.devices[i]
		if t := d.tier.Load(); d.readable(t) {
			if p, ok := t.Place(k); ok {
				return p, true
			}
		}
	}
	return cache.Place{}, false
}

// Touch implements cache.Places.
func (x *Devices) Touch(k cache.Key) (cache.Place, bool) {
	for _, i := range x.routes.of(&k) {
		if t := x.devices[i].tier.Load(); t != nil {
			if p, ok := t.Touch(k); ok {
				return p, true
			}
		}
	}
	return cache.Place{}, false
}

// Touched implements cache.Touched.
func (x *Devices) Touched(k cache.Key) (touched, ok bool) {
	for _, i := range x.routes.of(&k) {
		d := x.devices[i]
		if t := d.tier.Load(); d.readable(t) {
			if touched, ok = t.Touched(k); ok {
				return touched, true
			}
		}
	}
	return false, false
}

// Retired implements cache.Places, for all directories together.
func (x *Devices) Retired(since uint64) ([]cache.SegmentID, uint64, bool) {
	return x.retired.since(since)
}
