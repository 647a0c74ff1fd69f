package load

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

var small = Data{Seed: 7, Size: 5 * 64 << 10, ObjectSize: 2 * 64 << 10}

func TestEveryByteFollowsFromItsPlace(t *testing.T) {
	rng := random(t)
	whole := make([]byte, small.Size)
	small.Fill(whole, 0)
	for range 1000 {
		at := rng.Int64N(small.Size/8) * 8
		n := 1 + rng.Int64N(min(5000, small.Size-at))
		p := make([]byte, n)
		small.Fill(p, at)
		if !bytes.Equal(p, whole[at:at+n]) {
			t.Fatalf("Fill of %d bytes at %d", n, at)
		}
		if err := small.Check(p, at); err != nil {
			t.Fatal(err)
		}
		if n >= 8 {
			if got, ok := small.Place(p); !ok || got != at {
				t.Fatalf("Place tells %d, %v, and it is %d", got, ok, at)
			}
			if err := small.Glance(p[:n&^7], at); err != nil {
				t.Fatal(err)
			}
		}
		p[rng.Int64N(n)] ^= 1 << rng.IntN(8)
		if small.Check(p, at) == nil {
			t.Fatalf("Check of %d bytes at %d does not see a bit that is wrong", n, at)
		}
	}
}

func TestGlanceSeesAnotherPlace(t *testing.T) {
	p := make([]byte, 64<<10)
	small.Fill(p, 64<<10)
	if small.Glance(p, 0) == nil || small.Glance(p[:0], 64<<10) == nil {
		t.Error("bytes of another place pass")
	}
	p[len(p)-1] ^= 1
	if small.Glance(p, 64<<10) == nil {
		t.Error("a wrong last byte passes")
	}
}

func TestPlaceKnowsStrangers(t *testing.T) {
	other := Data{Seed: 8, Size: small.Size, ObjectSize: small.ObjectSize}
	p := make([]byte, 8)
	small.Fill(p, 0)
	if at, ok := other.Place(p); ok && other.Check(p, at) != nil {
		t.Errorf("bytes of another seed are said to lie at %d", at)
	}
	if _, ok := small.Place(bytes.Repeat([]byte{0xff}, 8)); ok {
		t.Error("bytes that are not of the data set have a place")
	}
	if _, ok := small.Place(nil); ok {
		t.Error("no bytes have a place")
	}
}

func TestDataValidate(t *testing.T) {
	if err := small.Validate(); err != nil {
		t.Error(err)
	}
	err := Data{Size: 1, ObjectSize: -4096}.Validate()
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("\n")) {
		t.Errorf("want both faults at once, got %v", err)
	}
}

func TestOriginServesTheDataSet(t *testing.T) {
	o := &Origin{Data: small, Bucket: "b"}
	srv := httptest.NewServer(o)
	defer srv.Close()
	get := func(path, byteRange string) (int, []byte) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if byteRange != "" {
			req.Header.Set("Range", byteRange)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	defer http.DefaultClient.CloseIdleConnections()
	whole := make([]byte, small.Size)
	small.Fill(whole, 0)
	for i := range small.Objects() {
		base, n := int64(i)*small.ObjectSize, small.SizeOf(i)
		if code, body := get("/b/"+small.Name(i), ""); code != 200 || !bytes.Equal(body, whole[base:base+n]) {
			t.Errorf("object %d: %d, %d bytes", i, code, len(body))
		}
		if code, body := get("/b/"+small.Name(i), "bytes=13-1036"); code != 206 || !bytes.Equal(body, whole[base+13:base+1037]) {
			t.Errorf("object %d, odd range: %d, %d bytes", i, code, len(body))
		}
	}
	for _, path := range []string{"/b/" + small.Name(small.Objects()), "/b/data-1", "/c/data-00000", "/b/data--0001", "/"} {
		if code, _ := get(path, ""); code != 404 {
			t.Errorf("%s is answered %d", path, code)
		}
	}
	if want := small.Size + int64(small.Objects())*1024; o.Bytes() != want {
		t.Errorf("%d bytes are counted, want %d", o.Bytes(), want)
	}
}

func TestRangesStayWithinObjects(t *testing.T) {
	for _, access := range []Access{Uniform, Zipf} {
		for _, d := range []Data{small, {Size: 4096, ObjectSize: 4096}, {Size: 3 * 4096, ObjectSize: 2 * 4096}} {
			for _, n := range []int{8, 1024, 4096} {
				r, err := NewRanges(d, n, access, 3)
				again, _ := NewRanges(d, n, access, 3)
				if err != nil {
					t.Fatal(err)
				}
				seen := map[int64]int{}
				for range 2000 {
					at := r.Next()
					seen[at]++
					inObject := at % d.ObjectSize
					if at < 0 || at%int64(n) != 0 || inObject+int64(n) > d.SizeOf(int(at/d.ObjectSize)) {
						t.Fatalf("%s: a read of %d at %d leaves its object of %d", access, n, at, d.ObjectSize)
					}
					if at != again.Next() {
						t.Fatal("equal seeds draw other ranges")
					}
				}
				if blocks := d.Size / int64(n); blocks <= 16 && int64(len(seen)) < min(blocks, 3) {
					t.Errorf("%s: %d of %d blocks were ever drawn", access, len(seen), blocks)
				}
			}
		}
	}
}

func TestZipfHasHotBlocks(t *testing.T) {
	top := func(access Access) int {
		r, err := NewRanges(Data{Size: 8192 * 4096, ObjectSize: 1024 * 4096}, 4096, access, 1)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int64]int{}
		for range 20000 {
			seen[r.Next()]++
		}
		most := 0
		for _, n := range seen {
			most = max(most, n)
		}
		return most
	}
	if zipf, uniform := top(Zipf), top(Uniform); zipf < 2000 || uniform > 50 {
		t.Errorf("of 20000 reads the hottest block had %d by zipf and %d uniformly", zipf, uniform)
	}
}

func TestRangesRefuseWhatCannotBe(t *testing.T) {
	for name, f := range map[string]func() error{
		"larger than objects": func() error { _, err := NewRanges(small, int(small.ObjectSize)*2, Uniform, 0); return err },
		"odd":                 func() error { _, err := NewRanges(small, 13, Uniform, 0); return err },
		"none":                func() error { _, err := NewRanges(small, 0, Uniform, 0); return err },
		"unknown access":      func() error { _, err := NewRanges(small, 8, "lifo", 0); return err },
		"larger than the set": func() error { _, err := NewRanges(Data{Size: 4096, ObjectSize: 1 << 20}, 8192, Uniform, 0); return err },
	} {
		if f() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := strconv.Atoi(small.Name(2)[5:]); err != nil {
		t.Error(err)
	}
}
