package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of an epoch.
const (
	MaxMembers    = 65000     // a slot takes two bytes, and the table holds PerMember partitions for each
	MaxPartitions = 1 << 21   // the table at MaxMembers
	PerMember     = 20        // partitions that a member has at least, on the average: fewer cannot be even
	MaxWeight     = 1_000_000 // so that shares are computed exactly in 64 bits
	MaxOwners     = 8         // kept for a partition
	MaxHotOwners  = 64        // of a hot section
	MaxHot        = 100_000   // hot sections in an epoch
	MaxZones      = 256
	MaxName       = 255 // bytes of the name of a member, zone or mount, and of an address
	MaxPath       = 8192
	PathVersion   = 1 // how a path is made canonical; see Epoch.Key
)

// ErrInvalid is wrapped by errors about what a caller gave: a change, a split, a number of owners. The epoch is as it was.
var ErrInvalid = errors.New("invalid")

// ErrCorrupt is wrapped by errors about bytes that are no epoch, chunk or difference.
var ErrCorrupt = errors.New("corrupt")

func invalid(format string, args ...any) error {
	return fmt.Errorf("ring: %w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Settings are what changes answers beside the members. They travel in the epoch, so that all who hold it agree. Zero fields mean the defaults.
type Settings struct {
	// Owners is how many distinct members the table keeps for each partition, in order: the first owns it, the others stand by. Default 3.
	Owners int
	// Bound is by how many thousandths the partitions that a member owns first may exceed its share: never more than ceil((1 + Bound/1000) of its share).
	// Default 50. It is also how far a member may fall below its share, or above, before a change of weights moves anything.
	Bound int
	// StandbyBound is the same for the partitions that a member stands by for; it yields where distinct owners or zones need it to. Default 250.
	StandbyBound int
	// SectionSize is the length, in bytes, of the file ranges that are placed as one key. Default 256 MiB.
	SectionSize int64
	// PathVersion is the way in which paths are made canonical. There is one: 1, the default.
	PathVersion int
	// Partitions is the least size of the table, a power of two. Default 4096. The table doubles when it has fewer than PerMember for each member, and never shrinks.
	Partitions int
	// Zones are the names that a member's zone may have. None: members have no zone.
	Zones []string
}

// withDefaults fills in what is zero, and sorts the zones.
func (s Settings) withDefaults() Settings {
	for _, d := range []struct {
		field *int
		value int
	}{{&s.Owners, 3}, {&s.Bound, 50}, {&s.StandbyBound, 250}, {&s.PathVersion, PathVersion}, {&s.Partitions, 4096}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if s.SectionSize == 0 {
		s.SectionSize = 256 << 20
	}
	s.Zones = slices.Sorted(slices.Values(s.Zones))
	return s
}

// Validate reports every fault at once. Zero fields are defaults and no faults.
func (s Settings) Validate() error {
	s = s.withDefaults()
	var faults []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, invalid(format, args...))
		}
	}
	add(s.Owners < 1 || s.Owners > MaxOwners, "settings: %d owners for a partition: keep 1 to %d", s.Owners, MaxOwners)
	add(s.Bound < 10 || s.Bound > 1000, "settings: a bound of %d thousandths: give 10 to 1000", s.Bound)
	add(s.StandbyBound < 10 || s.StandbyBound > 1000, "settings: a standby bound of %d thousandths: give 10 to 1000", s.StandbyBound)
	add(s.SectionSize < 1<<20, "settings: sections of %d bytes: give at least 1 MiB", s.SectionSize)
	add(s.PathVersion != PathVersion, "settings: paths made canonical by version %d: this build knows %d", s.PathVersion, PathVersion)
	add(s.Partitions < 64 || s.Partitions > MaxPartitions || bits.OnesCount(uint(s.Partitions)) != 1,
		"settings: %d partitions: give a power of two from 64 to %d", s.Partitions, MaxPartitions)
	add(len(s.Zones) > MaxZones, "settings: %d zones: give at most %d", len(s.Zones), MaxZones)
	for i, z := range s.Zones {
		if err := checkName("zone", z); err != nil {
			faults = append(faults, err)
		}
		add(i > 0 && s.Zones[i-1] == z, "settings: zone %q is named twice", z)
	}
	return errors.Join(faults...)
}

// Check says what Apply would say of a member that joins an epoch of these settings.
func (s Settings) Check(m Member) error { return m.check(s.withDefaults()) }

// Slot is a member's place in Epoch.Members. It means something within one epoch only.
type Slot uint16

const none = Slot(0xffff)

// Member is one sidecar beside one worker.
type Member struct {
	Name   string // who it is, for good; unique in the fleet
	Zone   string // one of Settings.Zones; "" if there are none
	Weight int    // its share is its weight's part of all weights: bytes of disk, in any unit; 1 to MaxWeight
	// Draining members own nothing more, and stay members: others can still read from them.
	Draining bool
	// Excluded members keep their place in the table and are left out of answers for now: they are overloaded, or unwell.
	Excluded bool
	Sidecar  string // host:port of its peer door; the ring does not look into addresses
	Worker   string // host:port by which an engine knows the worker beside it
}

func checkName(what, name string) error {
	switch {
	case name == "":
		return invalid("%s has no name", what)
	case len(name) > MaxName:
		return invalid("%s %q…: a name has at most %d bytes", what, name[:32], MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return invalid("%s %q: a name is UTF-8 without control characters", what, name)
	}
	return nil
}

// check reports what is wrong with a member under these settings.
func (m Member) check(s Settings) error {
	if err := checkName("member", m.Name); err != nil {
		return err
	}
	var faults []error
	if m.Weight < 1 || m.Weight > MaxWeight {
		faults = append(faults, invalid("member %q: weight %d: give 1 to %d, or drain the member, so that it owns nothing", m.Name, m.Weight, MaxWeight))
	}
	if _, known := slices.BinarySearch(s.Zones, m.Zone); !known && (m.Zone != "" || len(s.Zones) > 0) {
		faults = append(faults, invalid("member %q: unknown zone %q: the epoch's zones are %q", m.Name, m.Zone, s.Zones))
	}
	for _, address := range []string{m.Sidecar, m.Worker} {
		if len(address) > MaxName || !utf8.ValidString(address) {
			faults = append(faults, invalid("member %q: an address is UTF-8 of at most %d bytes", m.Name, MaxName))
		}
	}
	return errors.Join(faults...)
}
