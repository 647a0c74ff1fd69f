package config

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, never negative. It is written as "10GiB", "512MB", "1.5TiB" or a plain number of bytes. As a pointer it is
// a pflag.Value and an encoding.TextUnmarshaler.
type Size int64

// The binary units of Size, in bytes.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// sizeUnits are in the order in which String tries them: the largest first.
var sizeUnits = []struct {
	name  string
	bytes Size
}{
	{"PiB", 1 << 50}, {"PB", 1e15}, {"TiB", TiB}, {"TB", 1e12}, {"GiB", GiB}, {"GB", 1e9}, {"MiB", MiB}, {"MB", 1e6}, {"KiB", KiB}, {"kB", 1e3}, {"B", 1},
}

// ParseSize reads a Size. Units are matched whatever their case, a fraction must come to whole bytes, and the largest is 2^63-1 bytes.
func ParseSize(text string) (Size, error) {
	number, unit := splitUnit(strings.TrimSpace(text))
	scale, ok := sizeUnit(unit)
	if !ok || !isDecimal(number) {
		return 0, fmt.Errorf("%q is not a size: write bytes or a number with a unit, such as 512MB or 10GiB", text)
	}
	value, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("%q is not a size: write bytes or a number with a unit, such as 512MB or 10GiB", text)
	}
	value.Mul(value, new(big.Rat).SetInt64(int64(scale)))
	if !value.IsInt() {
		return 0, fmt.Errorf("%q is not a whole number of bytes", text)
	}
	if !value.Num().IsInt64() {
		return 0, fmt.Errorf("%q is too large: the limit is %d bytes", text, int64(math.MaxInt64))
	}
	return Size(value.Num().Int64()), nil
}

// splitUnit cuts "10 GiB" into "10" and "GiB".
func splitUnit(text string) (number, unit string) {
	i := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i < 0 {
		return text, "B"
	}
	return text[:i], strings.TrimSpace(text[i:])
}

func sizeUnit(name string) (Size, bool) {
	for _, u := range sizeUnits {
		if strings.EqualFold(u.name, name) {
			return u.bytes, true
		}
	}
	return 0, false
}

// isDecimal reports whether text is digits with at most one point between digits. At most 40 characters: big.Rat would read
// any number of them.
func isDecimal(text string) bool {
	whole, fraction, point := strings.Cut(text, ".")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return len(text) <= 40 && digits(whole) && (!point || digits(fraction))
}

// String prints the size in the largest unit that gives a whole number, so that ParseSize reads the same value back.
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	for _, u := range sizeUnits[:len(sizeUnits)-1] {
		if s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Set is pflag.Value's.
func (s *Size) Set(text string) error { return s.UnmarshalText([]byte(text)) }

// Type is pflag.Value's: the word that help shows.
func (s *Size) Type() string { return "size" }

// UnmarshalText reads what ParseSize reads.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// MarshalText prints what String prints.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Duration is a length of time, never negative: "250ms", "10s", "1h30m", "7d", or "forever". As a pointer it is a pflag.Value and an
// encoding.TextUnmarshaler.
type Duration time.Duration

// Forever is longer than any other Duration.
const Forever Duration = math.MaxInt64

const day = 24 * time.Hour

// ParseDuration reads a Duration: Go's units, "d" for 24 hours in front of them, "0", or "forever".
func ParseDuration(text string) (Duration, error) {
	t := strings.TrimSpace(text)
	if t == "forever" {
		return Forever, nil
	}
	var days int64
	rest := t
	if number, tail, found := strings.Cut(t, "d"); found {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > int64(math.MaxInt64/day) {
			return 0, durationError(text)
		}
		days, rest = n, tail
	}
	var d time.Duration
	if rest != "" || t == "" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, durationError(text)
		}
	}
	if days < 0 || d < 0 || strings.HasPrefix(t, "-") {
		return 0, fmt.Errorf("%q is negative", text)
	}
	if d >= time.Duration(math.MaxInt64)-time.Duration(days)*day {
		return 0, fmt.Errorf("%q is too long: write forever", text)
	}
	return Duration(time.Duration(days)*day + d), nil
}

func durationError(text string) error {
	return fmt.Errorf("%q is not a duration: write a number with a unit, such as 250ms, 10s, 2h or 7d, or forever", text)
}

// String prints the duration so that ParseDuration reads the same value back.
func (d Duration) String() string {
	if d == Forever {
		return "forever"
	}
	text := time.Duration(d).String()
	if d != 0 && time.Duration(d)%day == 0 {
		return strconv.FormatInt(int64(time.Duration(d)/day), 10) + "d"
	}
	// Go prints 10m0s and 2h0m0s; what people write is 10m and 2h.
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Std is the duration as the standard library counts it; Forever becomes about 292 years.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Set is pflag.Value's.
func (d *Duration) Set(text string) error { return d.UnmarshalText([]byte(text)) }

// Type is pflag.Value's: the word that help shows.
func (d *Duration) Type() string { return "duration" }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// MarshalText prints what String prints.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
