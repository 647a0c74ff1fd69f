package hdfs

import (
	"testing"

	"github.com/alio-lake/alio/hdfs/namenode"
	"github.com/alio-lake/alio/origin"
)

func block(id, stamp uint64, off, n int64) namenode.Block {
	return namenode.Block{Pool: "BP", ID: id, Stamp: stamp, Offset: off, Bytes: n, Replicas: 1}
}

// file is a status with blocks; the last of them is the last.
func file(length int64, open, complete bool, blocks ...namenode.Block) *namenode.Status {
	s := &namenode.Status{Kind: namenode.File, FileID: 7, Length: length, Located: true, UnderConstruction: open, LastComplete: complete, Blocks: blocks}
	if len(blocks) > 0 {
		s.Last = &blocks[len(blocks)-1]
	}
	return s
}

func TestObjectParts(t *testing.T) {
	o := &Origin{id: "hdfs:x"}
	new := block(3, 3, 20, 0)
	fresh := file(20, true, false, block(1, 1, 0, 10), block(2, 2, 10, 10))
	fresh.Last = &new
	for name, c := range map[string]struct {
		s    *namenode.Status
		want []origin.Part
	}{
		"empty":          {file(0, false, false), nil},
		"closed":         {file(15, false, true, block(1, 1, 0, 10), block(2, 2, 10, 5)), []origin.Part{{ID: "hdfs:x/BP/1_1_10", Length: 10}, {ID: "hdfs:x/BP/2_2_5", Offset: 10, Length: 5}}},
		"open":           {file(15, true, false, block(1, 1, 0, 10), block(2, 2, 10, 5)), []origin.Part{{ID: "hdfs:x/BP/1_1_10", Length: 10}, {Offset: 10, Length: 5}}},
		"committed":      {file(10, false, false, block(1, 1, 0, 10)), []origin.Part{{Length: 10}}},
		"new block":      {fresh, []origin.Part{{ID: "hdfs:x/BP/1_1_10", Length: 10}, {ID: "hdfs:x/BP/2_2_10", Offset: 10, Length: 10}}},
		"cut while open": {file(12, true, false, block(1, 1, 0, 10), block(2, 2, 10, 5)), []origin.Part{{ID: "hdfs:x/BP/1_1_10", Length: 10}, {Offset: 10, Length: 2}}},
		"longer tail":    {file(14, true, false, block(1, 1, 0, 10)), []origin.Part{{Length: 10}, {Offset: 10, Length: 4}}},
	} {
		obj, err := o.object("p", c.s)
		if err != nil || len(obj.Parts) != len(c.want) || obj.Size != c.s.Length || (obj.ETag == "") != obj.Unfinished() {
			t.Errorf("%s: %+v, %v; want parts %+v", name, obj, err, c.want)
			continue
		}
		for i, p := range obj.Parts {
			if p != c.want[i] {
				t.Errorf("%s: part %d is %+v, want %+v", name, i, p, c.want[i])
			}
		}
	}
	for name, s := range map[string]*namenode.Status{
		"a gap": file(15, false, true, block(1, 1, 0, 9), block(2, 2, 10, 5)), "too short": file(15, false, true, block(1, 1, 0, 10)), "no blocks": file(5, false, true),
	} {
		if obj, err := o.object("p", s); err == nil {
			t.Errorf("%s: %+v; want an error", name, obj)
		}
	}
}

// TestVersionNamesAll: each of what may change bytes changes the version, alone.
func TestVersionNamesAll(t *testing.T) {
	base := func() *namenode.Status { return file(15, false, true, block(1, 1, 0, 10), block(2, 2, 10, 5)) }
	seen := map[string]string{version(base()): "base"}
	for name, change := range map[string]func(*namenode.Status){
		"inode": func(s *namenode.Status) { s.FileID++ }, "length": func(s *namenode.Status) { s.Length-- }, "open": func(s *namenode.Status) { s.UnderConstruction = true },
		"stamp": func(s *namenode.Status) { s.Blocks[0].Stamp++ }, "id": func(s *namenode.Status) { s.Blocks[1].ID++ }, "bytes": func(s *namenode.Status) { s.Blocks[1].Bytes++ },
		"pool": func(s *namenode.Status) { s.Blocks[0].Pool = "BQ" }, "order": func(s *namenode.Status) { s.Blocks[0], s.Blocks[1] = s.Blocks[1], s.Blocks[0] },
		"fewer": func(s *namenode.Status) { s.Blocks, s.Last = s.Blocks[:1], &s.Blocks[0] },
	} {
		s := base()
		change(s)
		v := version(s)
		if was, ok := seen[v]; ok {
			t.Errorf("%s has the version of %s", name, was)
		}
		seen[v] = name
	}
	s := base()
	s.ModTime, s.Owner, s.Blocks[0].Replicas = 99, "other", 3
	if seen[version(s)] != "base" {
		t.Error("time, owner or replication change the version")
	}
}
