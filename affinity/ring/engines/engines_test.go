package engines

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alio-lake/alio/affinity/ring"
)

func nodes(n int) (out []ring.Member) {
	for i := range n {
		out = append(out, ring.Member{Name: fmt.Sprintf("worker-%05d", i), Weight: 1})
	}
	return out
}

// TestRealClasses: every answer is the one that the engine's own class gave.
func TestRealClasses(t *testing.T) {
	f, err := os.Open("testdata/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	presto, trino, checked := map[int]*Presto{}, map[int]*TrinoTable{}, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] == "#" {
			continue
		}
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		if presto[n] == nil {
			presto[n], trino[n] = NewPresto(nodes(n), 0), NewTrinoTable(nodes(n), 3)
		}
		var slots []ring.Slot
		if fields[0] == "presto" {
			slots = presto[n].locate(nil, []byte(fields[2]), 3)
		} else {
			slots = trino[n].locate([]byte(fields[2]))
		}
		var got []string
		for _, s := range slots {
			got = append(got, presto[n].members[s].Name)
		}
		if !slices.Equal(got, fields[3:]) {
			t.Errorf("%s: have %v", lines.Text(), got)
		}
		checked++
	}
	if checked != 320 {
		t.Errorf("%d answers were checked, want 320", checked)
	}
}

// TestPlacements: each gives distinct members, the same again, moves little when one leaves, and refuses what is no question.
func TestPlacements(t *testing.T) {
	for name, p := range map[string]ring.Placement{"presto": NewPresto(nodes(10), 0), "trino table": NewTrinoTable(nodes(10), 2), "trino keys": NewTrinoKeys(nodes(10))} {
		after, err := p.Change(ring.Change{Leave: []string{"worker-00003"}})
		if err != nil || len(after.Members()) != 9 {
			t.Fatalf("%s: %d members, %v", name, len(after.Members()), err)
		}
		moved, needless := 0, 0
		for i := range 2000 {
			s := ring.Split{Mount: "lake", Path: fmt.Sprintf("t/part-%d", i)}
			was, err1 := p.Locate(nil, s, 2)
			is, err2 := after.Locate(nil, s, 2)
			if err1 != nil || err2 != nil || len(was) != 2 || was[0] == was[1] || len(is) != 2 {
				t.Fatalf("%s: %v %v, %v %v", name, was, err1, is, err2)
			}
			if p.Members()[was[0]] != after.Members()[is[0]] {
				moved++
				if p.Members()[was[0]].Name != "worker-00003" {
					needless++
				}
			}
		}
		// Presto's nodes have more points each when there are fewer of them, so keys move between those that stay.
		if moved == 0 || moved > 400 || needless > 0 && name != "presto" {
			t.Errorf("%s: %d of 2000 keys moved, %d of them between members that stayed", name, moved, needless)
		}
		for _, k := range []int{0, 11} {
			if _, err := p.Locate(nil, ring.Split{Mount: "lake", Path: "a"}, k); !errors.Is(err, ring.ErrInvalid) {
				t.Errorf("%s: %d owners: %v", name, k, err)
			}
		}
	}
}
