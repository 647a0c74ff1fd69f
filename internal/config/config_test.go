package config

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	good := map[string]Size{
		"0": 0, "1": 1, "512": 512, "10GiB": 10 * GiB, "10 gib": 10 * GiB, "512MB": 512e6, "1.5KiB": 1536, "0.5GB": 5e8, "3B": 3,
		"9223372036854775807": math.MaxInt64, " 64MiB ": 64 * MiB, "2TiB": 2 * TiB,
	}
	for text, want := range good {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1e3", "1/2", "10GiBs", "1.5", "0.1KiB", "8192PiB", "9223372036854775808", ".5GiB", "1.GiB", "1.2.3MB", "10 G iB",
		strings.Repeat("9", 100) + "GiB", "0x10", "１GiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		} else if !strings.Contains(err.Error(), strconv.Quote(text)) {
			t.Errorf("ParseSize(%q): the error does not name the text: %v", text, err)
		}
	}
	for size, want := range map[Size]string{0: "0", 1: "1", 1000: "1kB", 1024: "1KiB", 10 * GiB: "10GiB", 512e6: "512MB", 1536 * MiB: "1536MiB", 12345: "12345"} {
		if size.String() != want {
			t.Errorf("%d prints as %q, want %q", int64(size), size, want)
		}
	}
}

func TestDurations(t *testing.T) {
	good := map[string]time.Duration{
		"0": 0, "0s": 0, "10s": 10 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": 36 * time.Hour, "250ms": 250 * time.Millisecond, "forever": math.MaxInt64,
	}
	for text, want := range good {
		if got, err := ParseDuration(text); err != nil || got.Std() != want {
			t.Errorf("ParseDuration(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "-1s", "-1d", "1d-1s", "ten", "Forever", "106752d", "106751d24h", "1d2562047h47m", "2562048h", "d", "1.5d", "99999999999999999999d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		} else if !strings.Contains(err.Error(), strconv.Quote(text)) {
			t.Errorf("ParseDuration(%q): the error does not name the text: %v", text, err)
		}
	}
	for d, want := range map[Duration]string{0: "0s", Duration(10 * time.Minute): "10m", Duration(2 * time.Hour): "2h", Duration(7 * day): "7d", Forever: "forever",
		Duration(90 * time.Minute): "1h30m", Duration(time.Hour + 20*time.Second): "1h0m20s"} {
		if d.String() != want {
			t.Errorf("%d prints as %q, want %q", int64(d), d, want)
		}
	}
}

// seeded returns a generator whose seed is printed on failure and given back by ALIO_SEED.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("ALIO_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("ALIO_SEED: %v", err)
		}
	}
	t.Logf("replay with ALIO_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestUnitsReadBackWhatTheyPrint(t *testing.T) {
	r := seeded(t)
	for range 10_000 {
		n := r.Int64() >> r.IntN(63)
		if r.IntN(2) == 0 {
			unit := int64(sizeUnits[r.IntN(len(sizeUnits))].bytes)
			n -= n % unit
		}
		if back, err := ParseSize(Size(n).String()); err != nil || back != Size(n) {
			t.Fatalf("Size(%d) prints as %q, which reads back as %d, %v", n, Size(n), back, err)
		}
		if back, err := ParseDuration(Duration(n).String()); err != nil || back != Duration(n) {
			t.Fatalf("Duration(%d) prints as %q, which reads back as %d, %v", n, Duration(n), back, err)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	s := struct{ S Secret }{"hunter2"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if out := fmt.Sprintf(format, s); strings.Contains(out, "hunter2") {
			t.Errorf("%s shows the secret: %s", format, out)
		}
	}
	if text, _ := s.S.MarshalText(); string(text) != mask {
		t.Errorf("MarshalText gives %s", text)
	}
	if s.S.Reveal() != "hunter2" || Secret("").String() != "" {
		t.Error("Reveal or the empty secret is wrong")
	}
}

func TestNearest(t *testing.T) {
	known := []string{"endpoint", "region", "path_style", "dir", "size", "max_age", "listen"}
	for name, want := range map[string]string{"endpiont": "endpoint", "pathStyle": "path_style", "path-style": "path_style", "sizes": "size", "maxage": "max_age",
		"lsten": "listen", "bucket": "", "x": "", "": "", strings.Repeat("z", 70): "", "abc": ""} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestFaultsAreSortedAndLocated(t *testing.T) {
	var out tree
	src, err := Decode("f.yaml", []byte("a:\n  name: x\nitems:\n  - name: y\n"), &out, nil)
	if err != nil {
		t.Fatal(err)
	}
	var f Faults
	f.Add("items[0].count", "too small")
	f.Add("a.name", "too short")
	f.Add("flag", "no line")
	want := "flag: no line\nf.yaml:2: a.name: too short\nf.yaml:4: items[0].count: too small"
	if got := src.Locate(f).Err(); got.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
	var faults Faults
	if !errors.As(src.Locate(f).Err(), &faults) || len(faults) != 3 {
		t.Error("Err is no Faults")
	}
	if (Faults{}).Err() != nil {
		t.Error("no faults is an error")
	}
}
