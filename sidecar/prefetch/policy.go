package prefetch

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/alio-lake/alio/internal/glob"
)

// Mode says what may be fetched ahead of some paths.
type Mode uint8

// The modes, each with what the one before allows.
const (
	Off      Mode = iota
	Metadata      // what a table's metadata names: commits, checkpoints, manifests, the logs of a file slice
	On            // columns that the table's readers lately used, and the indexes before a footer, too
)

// Modes names the modes as configuration files do, in the order of the constants.
var Modes = []string{"off", "metadata", "on"}

func (m Mode) String() string { return Modes[m] }

// ParseMode is the inverse of String.
func ParseMode(s string) (Mode, error) {
	for i, name := range Modes {
		if s == name {
			return Mode(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no mode of prefetching: want one of %s", s, strings.Join(Modes, ", "))
}

// Rule gives some paths their mode.
type Rule struct {
	// Path is a glob over "mount/path", as that of a freshness rule.
	Path string
	Mode Mode
}

// Defaults of Settings.
const (
	DefaultRequests = 4
	DefaultAhead    = 64 << 20
)

// Span is the most bytes that one prefetch asks for at once.
const Span = 4 << 20

// burst is how many bytes may be asked for at once where Bandwidth allows less in a second: one page of the largest size.
const burst = 1 << 20

// Settings are what the operator says of prefetching. The zero value turns it off.
type Settings struct {
	// Mode is that of paths for which no rule says otherwise.
	Mode Mode
	// Rules are tried in order; the first that matches wins.
	Rules []Rule
	// Requests is how many requests at once may be made for what nobody waits for (default 4).
	Requests int
	// Ahead is the most bytes that were fetched, or are being fetched, and that no reader has come for yet (default 64 MiB).
	Ahead int64
	// Bandwidth is the most bytes a second; 0 is no limit.
	Bandwidth int64
}

func (s Settings) withDefaults() Settings {
	if s.Requests == 0 {
		s.Requests = DefaultRequests
	}
	if s.Ahead == 0 {
		s.Ahead = DefaultAhead
	}
	return s
}

// Validate reports every fault at once.
func (s Settings) Validate() error {
	s = s.withDefaults()
	var faults []error
	if int(s.Mode) >= len(Modes) {
		faults = append(faults, fmt.Errorf("prefetch mode %d is unknown", s.Mode))
	}
	for i, r := range s.Rules {
		if r.Path == "" {
			faults = append(faults, fmt.Errorf("prefetch rule %d: path is empty: give a glob over mount/path, such as lake/sales/**", i+1))
		}
		if int(r.Mode) >= len(Modes) {
			faults = append(faults, fmt.Errorf("prefetch rule %d (%s): mode %d is unknown", i+1, r.Path, r.Mode))
		}
	}
	if s.Requests < 1 || s.Ahead < burst || s.Bandwidth < 0 {
		faults = append(faults, fmt.Errorf("prefetch: %d requests, %d bytes ahead, %d bytes a second: want at least 1 request and %d bytes ahead, and no negative bandwidth",
			s.Requests, s.Ahead, s.Bandwidth, burst))
	}
	return errors.Join(faults...)
}

// Policy is Settings in force. It is safe for parallel use.
type Policy struct {
	settings Settings
	match    []func(string) bool
	bytes    *rate.Limiter // nil: no limit
	any      bool
}

// NewPolicy compiles settings.
func NewPolicy(s Settings) (*Policy, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	p := &Policy{settings: s, any: s.Mode != Off}
	for _, r := range s.Rules {
		p.match = append(p.match, glob.Compile(r.Path))
		p.any = p.any || r.Mode != Off
	}
	if s.Bandwidth > 0 {
		p.bytes = rate.NewLimiter(rate.Limit(s.Bandwidth), int(max(s.Bandwidth, burst)))
	}
	return p, nil
}

// Any reports whether any path may have a mode other than Off.
func (p *Policy) Any() bool { return p.any }

// Mode is the mode of a path.
func (p *Policy) Mode(mount, path string) Mode {
	if len(p.match) > 0 {
		full := mount + "/" + path
		for i, match := range p.match {
			if match(full) {
				return p.settings.Rules[i].Mode
			}
		}
	}
	return p.settings.Mode
}

// Settings are what is in force, with the defaults.
func (p *Policy) Settings() Settings { return p.settings }

// Requests is how many requests may be under way at once.
func (p *Policy) Requests() int { return p.settings.Requests }

// Ahead is Settings.Ahead.
func (p *Policy) Ahead() int64 { return p.settings.Ahead }

// Pay takes the bandwidth of n bytes, at most one page; false if there is not enough of it now.
func (p *Policy) Pay(n int64) bool { return p.bytes == nil || p.bytes.AllowN(time.Now(), int(n)) }

// Owe takes the bandwidth of bytes that have come already.
func (p *Policy) Owe(n int64) {
	for ; p.bytes != nil && n > 0; n -= burst {
		p.bytes.ReserveN(time.Now(), int(min(n, burst)))
	}
}
