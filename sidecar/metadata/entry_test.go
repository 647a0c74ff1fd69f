package metadata

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar/freshness"
)

type answer = freshness.Answer[origin.Object]

func seedFor(t testing.TB) uint64 {
	seed := rand.Uint64()
	if v := os.Getenv("ALIO_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("ALIO_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("ALIO_SEED=%d", seed)
	return seed
}

// s3Object is an object as the S3 origin describes it.
func s3Object(path, etag string, size int64) origin.Object {
	version := fmt.Sprintf("%s/%d", etag, size)
	return origin.Object{
		Path: path, Version: origin.Version(version), Size: size, ETag: etag, ModTime: time.Unix(1_790_000_000+size%1e6, 0).UTC(),
		Parts: []origin.Part{{ID: fmt.Sprintf("s3:%q/%q/%q@%q/%d", "https://s3.eu-west-1.amazonaws.com", "warehouse", "lake/"+path, etag, size), Length: size}},
	}
}

var phrases = []string{
	"", "a", "0123456789abcdef", "0123456789abcde", "xx0123456789abcdefyy", "ABCDEF0123456789", "\x00\x01\x02", "deadbeef-deadbeef", `a"b`, "ü/日本",
	`s3:"h"/"b"/"p/a\"b"@"\"x\""/7`, string(bytes.Repeat([]byte("plain "), 100)), string(bytes.Repeat([]byte("cafe"), 100)),
}

func TestPhrasesComeBackAsTheyWere(t *testing.T) {
	for _, known := range [][]string{nil, {"a", "b", "", `\"`}, phrases[:maximumKnown]} {
		for _, s := range phrases {
			r := &reader{b: appendPhrase(nil, s, known)}
			if got := r.phrase(known); got != s || r.err != nil || len(r.b) != 0 {
				t.Errorf("%q with %q: %q, %v, %d bytes left", s, known, got, r.err, len(r.b))
			}
		}
	}
}

func randomObject(rng *rand.Rand) origin.Object {
	text := func() string { return phrases[rng.IntN(len(phrases))] }
	o := s3Object("p/"+text(), `"`+text()+`"`, rng.Int64N(1<<uint(rng.IntN(62))))
	switch rng.IntN(4) {
	case 0:
		o.Version, o.ETag, o.Parts[0].ID = origin.Version(text()), text(), text()
	case 1:
		o.Size, o.Parts = 0, nil
		for range rng.IntN(4) {
			o.Parts = append(o.Parts, origin.Part{ID: text() + string(o.Version), Offset: o.Size, Length: rng.Int64N(1000)})
			o.Size += o.Parts[len(o.Parts)-1].Length
		}
	}
	switch rng.IntN(3) {
	case 0:
		o.ModTime = time.Time{}
	case 1:
		o.ModTime = o.ModTime.Add(time.Duration(rng.IntN(1e9)))
	}
	if rng.IntN(2) == 0 {
		o.Attributes = map[string]string{}
		for range rng.IntN(3) {
			o.Attributes[names[rng.IntN(len(names))]] = text()
			o.Attributes["X-Amz-Meta-"+text()] = o.ETag
		}
	}
	return o
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	rng := rand.New(rand.NewPCG(seedFor(t), 1))
	now := life{number: 3, start: time.Now().Add(-time.Hour)}
	for range 5000 {
		want := answer{Value: randomObject(rng), Sent: now.start.Add(time.Duration(rng.IntN(3600)) * time.Second)}
		if err := writable(want.Value.Path, &want); err != nil {
			t.Fatalf("%v: %+v", err, want)
		}
		b := appendEntry(nil, now, &want)
		got, ok, err := readEntry(b, now, want.Value.Path)
		if !ok || err != nil || !reflect.DeepEqual(got.Value, want.Value) || !got.Sent.Equal(want.Sent) {
			t.Fatalf("%+v came back as %+v, %v", want, got, err)
		}
		if cut, ok, err := readEntry(b[:rng.IntN(len(b))], now, want.Value.Path); err == nil || ok {
			t.Fatalf("%+v cut short is read as %+v", want, cut)
		}
	}
}

func TestPartsThatWouldNotComeBackAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*origin.Object){
		"gap":     func(o *origin.Object) { o.Parts[0].Offset = 1 },
		"short":   func(o *origin.Object) { o.Parts[0].Length-- },
		"another": func(o *origin.Object) { o.Path = "elsewhere" },
	} {
		a := answer{Value: s3Object("p", `"e"`, 10)}
		if err := writable("p", &a); err != nil {
			t.Fatal(err)
		}
		spoil(&a.Value)
		if writable("p", &a) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Clocks of two lives cannot be compared, and an answer is never made younger.
func TestTimesOfAnotherLifeAreUnknown(t *testing.T) {
	first := life{number: 1, start: time.Now().Add(-time.Minute)}
	sent := first.start.Add(1999 * time.Microsecond)
	for _, c := range []struct {
		reads life
		sent  time.Time
		want  time.Time
	}{
		{first, sent, first.start.Add(time.Millisecond)},
		{life{number: 2, start: first.start}, sent, time.Time{}},
		{first, first.start.Add(-time.Second), time.Time{}}, // before the store was there
		{first, time.Time{}, time.Time{}},
		{first, time.Now().Add(time.Hour), time.Time{}}, // of a life with the same number that was longer
	} {
		a := answer{Value: s3Object("p", `"e"`, 1), Sent: c.sent}
		got, _, err := readEntry(appendEntry(nil, first, &a), c.reads, "p")
		if err != nil || !got.Sent.Equal(c.want) {
			t.Errorf("sent %v, read as %v (%v), want %v", c.sent, got.Sent, err, c.want)
		}
	}
}

// What an entry of a data file takes before compression: its ETag is 16 bytes that nothing shortens.
func TestAnEntryIsSmall(t *testing.T) {
	a := answer{Value: s3Object("sales/year=2026/month=11/part-00042-5b3c.snappy.parquet", `"9a0364b9e99bb480dd25e1f0284c8555"`, 10240), Sent: time.Now()}
	b := appendEntry(nil, life{number: 1, start: time.Now().Add(-time.Hour)}, &a)
	t.Logf("%d bytes", len(b))
	if raw := len(a.Value.ETag) + len(a.Value.Version) + len(a.Value.Parts[0].ID); len(b) > raw*2/3 {
		t.Errorf("%d bytes for strings of %d", len(b), raw)
	}
}

func FuzzReadEntry(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	l := life{number: 1, start: time.Now().Add(-time.Hour)}
	for range 20 {
		a := answer{Value: randomObject(rng), Sent: time.Now()}
		f.Add(appendEntry(nil, l, &a), a.Value.Path)
	}
	f.Fuzz(func(t *testing.T, b []byte, path string) {
		a, ok, _ := readEntry(b, l, path)
		if !ok || writable(path, &a) != nil {
			return
		}
		again, ok, err := readEntry(appendEntry(nil, l, &a), l, path)
		if !ok || err != nil || !reflect.DeepEqual(again.Value, a.Value) {
			t.Fatalf("%+v came back as %+v, %v", a, again, err)
		}
	})
}
