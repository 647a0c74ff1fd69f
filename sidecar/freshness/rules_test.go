package freshness

import (
	"strings"
	"testing"
	"time"
)

func TestBuiltInRules(t *testing.T) {
	r, err := NewRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	const id = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
	for _, c := range []struct {
		path string
		kind Kind
		want time.Duration
	}{
		{"sales/part-0.parquet", Object, 10 * time.Second},
		{"sales/part-00000-" + id + "-c000.snappy.parquet", Object, Forever},
		{"sales/20261122_125757_00003_abcde_" + id, Object, Forever},
		{"t/metadata/00001-" + id + ".metadata.json", Object, Forever},
		{"t/metadata/v3.metadata.json", Object, 10 * time.Second},
		{"t/metadata/version-hint.text", Object, 0},
		{"t/_delta_log/_last_checkpoint", Object, 0},
		{"_last_checkpoint", Object, 0},
		{"t/_delta_log/00000000000000000001.json", Object, 10 * time.Second},
		{"t/.hoodie/20260101.commit.requested", Object, 0},
		{"t/p/." + id + "_20260101.log.1_0-1-1", Object, 10 * time.Second},
		{"t/_delta_log/00000000000000000001.checkpoint.parquet", Object, 10 * time.Second},
		{"t/_delta_log/00000000000000000001.checkpoint." + id + ".parquet", Object, Forever},
		{"t/_delta_log/new-thing", Object, 0},
		{"t/_delta_log", Object, 0},
		{"t/deletion_vector_" + id + ".bin", Object, Forever},
		{"t/.hoodie/hoodie.properties", Object, 0},
		{"t/.hoodie/20260101000000000.commit", Object, Forever},
		{"t/.hoodie/timeline/20260101000000000_20260101000001000.commit", Object, Forever},
		{"t/.hoodie/timeline/20260101000000000_20260101000001000.newaction", Object, 0},
		{"t/.hoodie/timeline/20260101000000000.inflight", Object, 0},
		{"t/.hoodie/timeline/history/_version_", Object, 0},
		{"t/.hoodie/archived/.commits_.archive.1_1-0-1", Object, 10 * time.Second},
		{"t/.hoodie/.temp/20260101000000000/p/" + id + "-0_0-1-1_20260101000000000.parquet.marker.CREATE", Object, 0},
		{"t/.hoodie/metadata/files/files-0000-0_0-0-0_00000000000000000.hfile", Object, 10 * time.Second},
		{"t/.hoodie/metadata/files/files-0000-0_0-0-0_20260101000000000.hfile", Object, Forever},
		{"t/p/" + id + "-0_0-1-1_20260101000000000.parquet", Object, Forever},
		{"t/p/.hoodie_partition_metadata", Object, 10 * time.Second},
		{id + "/plain.parquet", Object, 10 * time.Second}, // the UUID is a folder's
		{"sales/", Listing, 0},
		{"sales/nothing-" + id, NotFound, 0},
	} {
		if got := r.MaxAge("lake", c.path, c.kind); got != c.want {
			t.Errorf("%s of %s: max_age %v, want %v", c.kind, c.path, got, c.want)
		}
	}
}

func TestOwnRulesComeFirstAndTheFirstMatchWins(t *testing.T) {
	r, err := NewRules([]Rule{
		{Path: "lake/hot/**", Answers: []Kind{Listing, NotFound}, MaxAge: time.Second},
		{Path: "lake/hot/*.parquet", MaxAge: time.Minute},
		{Path: "lake/hot/**", MaxAge: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		kind Kind
		want time.Duration
	}{
		{"hot/a/b", Listing, time.Second},
		{"hot/x.parquet", Object, time.Minute},
		{"hot/x.parquet", NotFound, time.Second},
		{"hot/deep/x.parquet", Object, time.Hour},
		{"cold/x.parquet", Object, 10 * time.Second},
	} {
		if got := r.MaxAge("lake", c.path, c.kind); got != c.want {
			t.Errorf("%s of %s: max_age %v, want %v", c.kind, c.path, got, c.want)
		}
	}
}

func TestEveryFaultyRuleIsNamed(t *testing.T) {
	_, err := NewRules([]Rule{{MaxAge: time.Second}, {Path: "lake/**", MaxAge: -time.Second}})
	if err == nil || !strings.Contains(err.Error(), "rule 1") || !strings.Contains(err.Error(), "rule 2 (lake/**)") {
		t.Errorf("got %v", err)
	}
}
