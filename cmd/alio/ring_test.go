package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alio-lake/alio/affinity"
	"github.com/alio-lake/alio/affinity/ring"
)

// still is a source whose epoch does not change.
type still struct{ e *ring.Epoch }

func (s still) Epoch() *ring.Epoch       { return s.e }
func (s still) Changed() <-chan struct{} { return nil }

// ringServer answers as a sidecar of a fleet does.
func ringServer(t *testing.T, e *ring.Epoch) string {
	t.Helper()
	s, err := affinity.New(affinity.Options{Source: still{e}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", s.Handler())
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web.URL
}

func fleetOf(t *testing.T, n int) *ring.Epoch {
	t.Helper()
	e, err := ring.New(ring.Settings{})
	var c ring.Change
	for i := range n {
		c.Join = append(c.Join, ring.Member{Name: fmt.Sprintf("w%d", i), Weight: 1, Worker: fmt.Sprintf("w%d:8080", i)})
	}
	if err == nil {
		e, err = e.Apply(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestRing: what is printed is the epoch's.
func TestRing(t *testing.T) {
	e := fleetOf(t, 4)
	url := ringServer(t, e)
	ask := func(args ...string) string {
		t.Helper()
		code, out, errs := command(t, append(append([]string{"ring"}, args...), "--admin", url)...)
		if code != 0 {
			t.Fatalf("alio ring %v: exit %d: %s", args, code, errs)
		}
		return out
	}
	if out := ask("show"); !strings.Contains(out, "epoch 1 (") || !strings.Contains(out, "w3      -     1       serves  1024") {
		t.Errorf("show:\n%s", out)
	}
	var sections []section
	if err := json.Unmarshal([]byte(ask("owner", "alio://lake/a/b.parquet", "--size", "600MiB", "--owners", "3", "--json")), &sections); err != nil {
		t.Fatal(err)
	}
	if len(sections) != 3 {
		t.Fatalf("600 MiB have %d sections", len(sections))
	}
	for i, s := range sections {
		key, err := e.Key(ring.Split{Mount: "lake", Path: "a/b.parquet", Offset: int64(i) << 28})
		if err != nil {
			t.Fatal(err)
		}
		want, err := e.Owners(key, 3)
		if err != nil {
			t.Fatal(err)
		}
		for j, slot := range want {
			if s.Owners[j].Name != e.Members()[slot].Name {
				t.Errorf("section %d, owner %d: %s", i, j, s.Owners[j].Name)
			}
		}
	}
	var m movement
	if err := json.Unmarshal([]byte(ask("what-if", "--leave", "w2", "--json")), &m); err != nil {
		t.Fatal(err)
	}
	if m.Moved != 1024 || m.Partitions != 4096 || len(m.Members) != 4 || m.Share != 0.25 {
		t.Errorf("if w2 left: %+v", m)
	}
	if out := ask("what-if", "--join", "w4", "--drain", "w1", "--weight", "w0=2"); !strings.Contains(out, "w4      0      ") {
		t.Errorf("what-if:\n%s", out)
	}
}

// TestRingRefusals: each says what is wrong.
func TestRingRefusals(t *testing.T) {
	url, none := ringServer(t, fleetOf(t, 2)), ringServer(t, nil)
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	for _, c := range []struct {
		args string
		want string
	}{
		{"what-if --admin " + url, "nothing is changed"},
		{"what-if --leave w9 --admin " + url, `leave of "w9", which is no member of epoch 1`},
		{"what-if --weight w9=1 --admin " + url, `"w9" is no member of epoch 1`},
		{"what-if --weight w1=x --admin " + url, "invalid syntax"},
		{"what-if --weight w1=0 --admin " + url, "weight 0"},
		{"what-if --join w1 --admin " + url, "two members cannot share one"},
		{"what-if --join w7@moon --admin " + url, `unknown zone "moon"`},
		{"owner alio://lake/../x --size 1 --admin " + url, `element ".."`},
		{"owner s3://lake/x --admin " + url, "takes alio://mount/path"},
		{"show --admin " + none, "there is no epoch yet"},
		{"show --admin " + empty.URL, "belongs to no fleet"},
	} {
		if code, _, errs := command(t, append([]string{"ring"}, strings.Fields(c.args)...)...); code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("alio ring %s: exit %d, %s, want %q", c.args, code, errs, c.want)
		}
	}
}
