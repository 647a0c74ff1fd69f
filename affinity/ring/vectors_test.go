package ring

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The vectors of ../../api/testdata/ring are for every language that looks owners up; FORMAT.md says what the bytes mean. They are made here, by
//
//	go test ./affinity/ring -run TestVectors -update
//
// A language that only looks up passes keys, epochs and differences; one that edits tables passes the changes too.
var update = flag.Bool("update", false, "write ../../api/testdata/ring")

const testdata = "../../api/testdata/ring"

type vectors struct {
	Comment string         `json:"comment"`
	Keys    []keyVector    `json:"keys"`
	Epochs  []epochVector  `json:"epochs"`
	Changes []changeVector `json:"changes"`
	Bad     []badVector    `json:"bad"`
}

type keyVector struct {
	Section int64  `json:"section_size"`
	Mount   string `json:"mount"`
	Path    string `json:"path"`
	Offset  int64  `json:"offset"`
	Key     string `json:"key,omitempty"`   // 16 hex digits
	Error   string `json:"error,omitempty"` // a part of Go's words; other languages refuse in their own
}

type epochVector struct {
	Comment    string         `json:"comment"`
	Encoding   []byte         `json:"encoding"`
	Hash       string         `json:"hash"`
	Number     uint64         `json:"number"`
	Partitions int            `json:"partitions"`
	Most       int            `json:"most"`
	Members    []Member       `json:"members"`
	Lookups    []lookupVector `json:"lookups"`
}

type lookupVector struct {
	Key    string   `json:"key"`
	K      int      `json:"k"`
	Owners []string `json:"owners"` // none: more than there are
}

type changeVector struct {
	From   int    `json:"from"` // places in epochs
	To     int    `json:"to"`
	Change Change `json:"change"`
	Diff   []byte `json:"difference"`
}

type badVector struct {
	Why      string `json:"why"`
	Epoch    []byte `json:"epoch,omitempty"`
	From     int    `json:"from,omitempty"`
	Diff     []byte `json:"difference,omitempty"`
	Resealed bool   `json:"resealed,omitempty"` // its hash is right
}

func makeKeys(t testing.TB) (out []keyVector) {
	long := strings.Repeat("warehouse/", 60) + "part-00000.parquet"
	for _, k := range []keyVector{
		{Mount: "lake", Path: "a"}, {Mount: "lake", Path: "/a//b/"}, {Mount: "lake", Path: "a/b"}, {Mount: "lake", Path: "a/b", Offset: 1<<28 - 1}, {Mount: "lake", Path: "a/b", Offset: 1 << 28},
		{Mount: "lake", Path: "a/b", Offset: 1 << 40}, {Mount: "lake", Path: "a/b", Offset: 1 << 20, Section: 1 << 20}, {Mount: "hdfs-prod", Path: "user/hive/warehouse/sales.db/ds=2026-11-28/000017_0"},
		{Mount: "lake", Path: "caf\u00e9/\u65e5\u672c/\U0001f30a.orc"}, {Mount: "lake", Path: "a b%20c+d"}, {Mount: "lake", Path: "...", Offset: 7}, {Mount: "\u00e9", Path: long, Offset: 3 << 28},
		{Mount: "lake", Path: ""}, {Mount: "lake", Path: "///"}, {Mount: "lake", Path: "a/./b"}, {Mount: "lake", Path: "../a"}, {Mount: "lake", Path: "a\x00"}, {Mount: "", Path: "a"},
		{Mount: "a/b", Path: "a"}, {Mount: "lake", Path: "a", Offset: -1}, {Mount: "lake", Path: strings.Repeat("x", MaxPath+1)}, {Mount: strings.Repeat("m", MaxName+1), Path: "a"},
	} {
		if k.Section == 0 {
			k.Section = 256 << 20
		}
		e := newEpoch(t, Settings{SectionSize: k.Section}, nil)
		if key, err := e.Key(Split{k.Mount, k.Path, k.Offset}); err != nil {
			_, words, _ := strings.Cut(err.Error(), ": ")
			k.Error = words[:min(len(words), 120)]
		} else {
			k.Key = fmt.Sprintf("%016x", key)
		}
		out = append(out, k)
	}
	return out
}

func vectorOf(e *Epoch, comment string, r *rand.Rand) epochVector {
	hash := e.Hash()
	v := epochVector{Comment: comment, Encoding: e.Encode(), Hash: hex.EncodeToString(hash[:]), Number: e.number, Partitions: e.partitions, Most: e.width, Members: e.members}
	keys := []uint64{0, 1<<64 - 1, 1<<32 - 1, 1 << 63, 0xdeadbeefcafef00d}
	for _, h := range e.hot {
		keys = append(keys, h.key)
	}
	for range 30 {
		keys = append(keys, r.Uint64())
	}
	for _, s := range e.standins { // partitions where an excluded member is first
		keys = append(keys, (uint64(s.partition)<<32/uint64(e.partitions)+1)<<32)
	}
	for i, key := range keys[:min(len(keys), 60)] {
		l := lookupVector{Key: fmt.Sprintf("%016x", key), K: 1 + i%4}
		if owners, err := e.Owners(key, l.K); err == nil {
			for _, s := range owners {
				l.Owners = append(l.Owners, e.members[s].Name)
			}
		}
		v.Lookups = append(v.Lookups, l)
	}
	return v
}

// makeVectors makes a history in which everything happens once.
func makeVectors(t testing.TB) vectors {
	v := vectors{Comment: "See affinity/ring/FORMAT.md. keys: split to key, or refused. epochs: bytes to table, key to owners. changes: an epoch and a change make the next; an epoch and a difference do too. bad: bytes to refuse.", Keys: makeKeys(t)}
	r := rand.New(rand.NewPCG(28, 11))
	s := Settings{Zones: zoneNames(3), Partitions: 64}
	e, err := New(s)
	need(t, err)
	v.Epochs = append(v.Epochs, vectorOf(e, "nobody", r))
	step := func(comment string, c func() Change) {
		change := c()
		next := apply(t, e, change)
		v.Changes = append(v.Changes, changeVector{len(v.Epochs) - 1, len(v.Epochs), change, Diff(e, next)})
		v.Epochs = append(v.Epochs, vectorOf(next, comment, r))
		e = next
	}
	edit := func(i int, f func(m *Member)) []Member {
		m := e.members[i]
		f(&m)
		return []Member{m}
	}
	step("the first", func() Change { return Change{Join: fleet(0, 1, 3)} })
	step("two more, with addresses", func() Change {
		more := fleet(1, 2, 3)
		more[0].Sidecar, more[0].Worker = "10.0.0.1:4380", "worker-1.example.com:8080"
		more[1].Name = "caf\u00e9-\u65e5\u672c"
		return Change{Join: more}
	})
	step("the table doubles", func() Change { return Change{Join: fleet(3, 9, 3)} })
	step("one leaves as one joins, a section is hot", func() Change {
		return Change{Leave: []string{e.members[2].Name}, Join: fleet(12, 1, 3), Hot: []Hot{{0xdeadbeefcafef00d, 7}, {3, 2}}}
	})
	step("one is excluded", func() Change { return Change{Update: edit(1, func(m *Member) { m.Excluded = true })} })
	step("another is too, and heavy; one drains", func() Change {
		return Change{Update: slices.Concat(edit(5, func(m *Member) { m.Excluded, m.Weight = true, 4 }), edit(7, func(m *Member) { m.Draining = true }))}
	})
	step("an extra owner of a hot section is excluded", func() Change {
		for _, h := range e.hot {
			for _, s := range h.extras {
				if !e.members[s].Excluded {
					return Change{Update: edit(int(s), func(m *Member) { m.Excluded = true })}
				}
			}
		}
		t.Fatal("no hot section has an extra owner that serves")
		return Change{}
	})
	step("an excluded one leaves; four owners; one address changes; a section cools", func() Change {
		four := e.Settings()
		four.Owners, four.SectionSize = 4, 64<<20
		return Change{Leave: []string{e.members[1].Name}, Update: edit(3, func(m *Member) { m.Sidecar = "[2001:db8::1]:4380" }), Settings: &four, Hot: []Hot{{3, 0}}}
	})
	step("everybody is excluded: it says nothing", func() Change {
		var c Change
		for i := range e.members {
			c.Update = append(c.Update, edit(i, func(m *Member) { m.Excluded = true })...)
		}
		return c
	})
	step("all but two leave", func() Change { return Change{Leave: names(e.members[2:])} })
	step("the last two leave", func() Change { return Change{Leave: names(e.members)} })
	v.Bad = makeBad(t, v)
	return v
}

func makeBad(t testing.TB, v vectors) (out []badVector) {
	good := v.Epochs[6].Encoding
	edited := func(why string, reseal bool, f func(b []byte) []byte) {
		b := f(bytes.Clone(good))
		if reseal {
			b = resealed(b)
		}
		if _, err := Decode(b); err == nil {
			t.Fatalf("%s: is an epoch", why)
		}
		out = append(out, badVector{Why: why, Epoch: b, Resealed: reseal})
	}
	edited("nothing", false, func(b []byte) []byte { return nil })
	edited("not the magic", true, func(b []byte) []byte { b[0] ^= 1; return b })
	edited("another format", true, func(b []byte) []byte { b[8] = 2; return b })
	edited("a bit of the table is wrong", false, func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
	edited("a bit of the hash is wrong", false, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	edited("the end is missing", false, func(b []byte) []byte { return b[:len(b)-5] })
	edited("the end of the content is missing", true, func(b []byte) []byte { return b[:len(b)-5] })
	edited("bytes are left over", true, func(b []byte) []byte { return slices.Insert(b, len(b)-32, 0) })
	edited("a number is longer than it need be", true, func(b []byte) []byte { b[9] |= 0x80; return slices.Insert(b, 10, 0) })
	edited("a member is there twice", true, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("worker-00004"), []byte("worker-00003")) })
	broken := func(why string, f func(e *Epoch)) {
		e, err := Decode(good)
		need(t, err)
		f(e)
		edited(why, false, func([]byte) []byte { return e.Encode() })
		out[len(out)-1].Resealed = true
	}
	const drains, excluded, member = 7, 1, 2 // slots of epoch 6
	first := func(e *Epoch, p int, s Slot) {
		row := e.home[p*3 : p*3+3]
		if i := slices.Index(row, s); i > 0 {
			row[i] = row[0]
		}
		row[0] = s
	}
	broken("a member owns more than its bound", func(e *Epoch) {
		for p := range e.partitions / 4 {
			first(e, p, member)
		}
		e.standins = slices.DeleteFunc(e.standins, func(s standin) bool { return s.partition < e.partitions/4 })
	})
	broken("a member that drains owns a partition", func(e *Epoch) { e.home[5] = drains })
	broken("a partition has an owner twice", func(e *Epoch) { e.home[4] = e.home[3] })
	broken("a partition lacks an owner", func(e *Epoch) { e.home[5] = none })
	broken("an excluded member has no stand-in", func(e *Epoch) { e.standins = e.standins[1:] })
	broken("the stand-in is excluded", func(e *Epoch) { e.standins[0].slot = excluded })
	broken("a stand-in without need", func(e *Epoch) {
		p := 0
		for slices.ContainsFunc(e.standins, func(s standin) bool { return s.partition == p }) {
			p++
		}
		i, _ := slices.BinarySearchFunc(e.standins, p, func(s standin, p int) int { return s.partition - p })
		e.standins = slices.Insert(e.standins, i, standin{p, member})
	})
	broken("stand-ins serve more than their bound", func(e *Epoch) {
		for i := range e.standins {
			e.standins[i].slot = member
		}
	})
	broken("a hot section has an owner that drains", func(e *Epoch) { e.hot[0].extras = []Slot{drains} })
	broken("a hot section has an owner twice", func(e *Epoch) { e.hot[0].extras = []Slot{member, member} })
	broken("a hot section has no owners", func(e *Epoch) { e.hot[0].count = 0 })
	broken("a weight of zero", func(e *Epoch) { e.members = slices.Clone(e.members); e.members[member].Weight = 0 })
	broken("a name with a control character", func(e *Epoch) { e.members = slices.Clone(e.members); e.members[0].Name = "a\nb" })
	broken("too few partitions for the members", func(e *Epoch) {
		e.partitions /= 2
		e.home = e.home[:len(e.home)/2]
		e.settings.Partitions = 64
		e.standins = nil
	})
	diff := bytes.Clone(v.Changes[6].Diff)
	out = append(out, badVector{Why: "a difference from another epoch", From: 5, Diff: diff})
	short := diff[:len(diff)-1]
	out = append(out, badVector{Why: "a difference that ends early", From: 6, Diff: short})
	other := bytes.Clone(diff)
	other[len(other)-1] ^= 1
	return append(out, badVector{Why: "a difference to another hash", From: 6, Diff: other})
}

// TestVectors: the committed vectors are what the code makes, and hold when they are read back.
func TestVectors(t *testing.T) {
	b, err := json.MarshalIndent(makeVectors(t), "", " ")
	need(t, err)
	b = append(b, '\n')
	file := filepath.Join(testdata, "ring.json")
	if *update {
		need(t, os.MkdirAll(testdata, 0o755))
		need(t, os.WriteFile(file, b, 0o644))
	}
	committed, err := os.ReadFile(file)
	need(t, err)
	if !bytes.Equal(committed, b) {
		t.Errorf("%s is not what the code makes; if that is meant, run: go test ./affinity/ring -run TestVectors -update", file)
	}
	var v vectors
	need(t, json.Unmarshal(committed, &v))
	for _, e := range v.Epochs {
		checkEpochVector(t, e)
	}
	for _, c := range v.Changes {
		from, err := Decode(v.Epochs[c.From].Encoding)
		need(t, err)
		applied, err := from.Apply(c.Change)
		need(t, err)
		patched, err := from.Patch(c.Diff)
		need(t, err)
		for how, e := range map[string]*Epoch{"change": applied, "difference": patched} {
			if !bytes.Equal(e.Encode(), v.Epochs[c.To].Encoding) {
				t.Errorf("%s from epoch %d to %d leads to another", how, c.From, c.To)
			}
		}
	}
	for _, bad := range v.Bad {
		from, err := Decode(v.Epochs[bad.From].Encoding)
		need(t, err)
		_, err = from.Patch(bad.Diff)
		if bad.Diff == nil {
			_, err = Decode(bad.Epoch)
		}
		if err == nil {
			t.Errorf("%s: is accepted", bad.Why)
		}
	}
}

func checkEpochVector(t *testing.T, v epochVector) {
	t.Helper()
	e, err := Decode(v.Encoding)
	need(t, err)
	for _, l := range v.Lookups {
		var key uint64
		_, err := fmt.Sscanf(l.Key, "%x", &key)
		need(t, err)
		owners, err := e.Owners(key, l.K)
		var names []string
		for _, s := range owners {
			names = append(names, e.members[s].Name)
		}
		if !slices.Equal(names, l.Owners) || (err != nil) != (l.Owners == nil) {
			t.Errorf("%s: key %s has owners %v (%v), want %v", v.Comment, l.Key, names, err, l.Owners)
		}
	}
}
