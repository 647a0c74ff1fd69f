package endpoint

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin/origintest"
)

// TestParseAmzDate holds the short way against time.Parse: random dates, and these with a byte changed.
func TestParseAmzDate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(origintest.Seed(t), 1))
	check := func(v string) {
		t.Helper()
		got, err := parseAmzDate(v)
		want, wantErr := time.Parse(amzDateLayout, v)
		if !got.Equal(want) || (err == nil) != (wantErr == nil) {
			t.Errorf("%q: %v (%v), want %v (%v)", v, got, err, want, wantErr)
		}
	}
	for _, v := range []string{"", "20261128T060000Z", "20260229T000000Z", "20240229T235959Z", "20261131T000000Z", "20261128T060000.5Z", "20261128T240000Z", "20261128T236000Z",
		"20261128T235960Z", "00000101T000000Z", "20261128t060000Z", "20261128T060000z", "2026-1128T06000Z", "+0261128T060000Z"} {
		check(v)
	}
	for range 20000 {
		v := []byte(time.Unix(rnd.Int64N(1<<33), 0).UTC().Format(amzDateLayout))
		check(string(v))
		v[rnd.IntN(len(v))] = byte(rnd.IntN(256))
		check(string(v))
	}
}

func TestIsHex(t *testing.T) {
	for c := range 256 {
		v := "0f" + string(rune(c))
		if c > 127 {
			v = string([]byte{'0', byte(c)})
		}
		lower, upper := strings.Trim(v[1:], "0123456789abcdef") == "", strings.Trim(v, "0123456789ABCDEF") == ""
		if isHex(v[1:], 'a') != lower || isHex(v, 'A') != upper {
			t.Errorf("%q: %v, %v", v, isHex(v[1:], 'a'), isHex(v, 'A'))
		}
	}
}

// TestIsText puts every byte at every place of values of every length up to 20, and looks eight bytes at a time as by single bytes.
func TestIsText(t *testing.T) {
	for n := range 21 {
		for at := range n {
			for c := range 256 {
				for _, beside := range []byte{'a', '\t', ' ', 0x80, 0xff, 0x7e} {
					v := []byte(strings.Repeat(string([]byte{beside}), n))
					v[at] = byte(c)
					if got, want := isText(v), isTextByByte(v); got != want {
						t.Fatalf("%q: %v, want %v", v, got, want)
					}
				}
			}
		}
	}
}

// TestDateMemo: each date as net/http writes it, the first second of all included.
func TestDateMemo(t *testing.T) {
	var m httpDateMemo
	for _, s := range []int64{0, 1, 1, 0, 1_795_000_000, 1_795_000_000, 1_795_000_001} {
		when := time.Unix(s, 999)
		if got, want := string(m.append(nil, when)), when.UTC().Format(http.TimeFormat); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
