package itest

import (
	"bytes"
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
)

// overwriting is a table of one file on S3, which is replaced behind Presto's back.
type overwriting struct {
	*prestoStage
	contents map[string][]byte   // of the file, by the name of a content
	rows     map[string][]string // of the table, when its file has that content
	modified time.Time           // what the store says of every version
}

// newOverwriting makes contents x1 and x2 of the same length, and x3 of another one.
func newOverwriting(ctx context.Context, t *testing.T, s *prestoStage) *overwriting {
	t.Helper()
	o := &overwriting{prestoStage: s, contents: map[string][]byte{}, modified: time.Now().Add(-time.Hour).Truncate(time.Second),
		rows: map[string][]string{"x1": {"1"}, "x2": {"2"}, "x3": {"3", "4"}}}
	for name, values := range o.rows {
		_, err := s.presto.Query(ctx, "CREATE TABLE stock.here."+name+" AS SELECT CAST(x AS bigint) x FROM (VALUES "+strings.Join(values, ", ")+") t(x)")
		need(t, err)
		o.contents[name] = onlyFile(t, filepath.Join(s.meta, "here", name))
	}
	if len(o.contents["x1"]) != len(o.contents["x2"]) || len(o.contents["x1"]) == len(o.contents["x3"]) {
		t.Fatalf("files of %d, %d and %d bytes", len(o.contents["x1"]), len(o.contents["x2"]), len(o.contents["x3"]))
	}
	for _, folder := range []string{"plain", "now"} {
		_, err := s.presto.Query(ctx, "CREATE SCHEMA stock.s3a_"+folder)
		need(t, err)
		need(t, harness.EnterPrestoTables(s.meta, "here", "s3a_"+folder, "s3a://"+s.store.Bucket+"/"+folder, []string{"x1"}))
	}
	return o
}

// put replaces the table's file in a folder and says when that was done. All its versions have one modification time: what the store tells beside the ETag is
// whole seconds, and a test that has to be within one cannot wait for it.
func (o *overwriting) put(ctx context.Context, t *testing.T, folder, content string) time.Time {
	t.Helper()
	key := path.Join(folder, "x1", "data")
	_, err := o.store.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &o.store.Bucket, Key: &key, Body: bytes.NewReader(o.contents[content])})
	need(t, err)
	need(t, os.Chtimes(filepath.Join(o.store.Dir, "objects", o.store.Bucket, key), o.modified, o.modified))
	return time.Now()
}

// shows reads the table by a catalog and says whether its rows are those of a content.
func (o *overwriting) shows(ctx context.Context, t *testing.T, catalog, folder, content string) error {
	t.Helper()
	got, _ := o.prestoStage.rows(ctx, t, "SELECT x FROM ${database}.${schema}.x1", catalog, "s3a_"+folder)
	return harness.SameRows(o.rows[content], got)
}

// overwritten has an object replaced between queries, by one of the same length in the same second too (prestodb/presto issue 22019). alio-hive carries the
// version of its listing and shows the new rows at once; so does the bridge without it where max_age is 0, and where length or second differ. Elsewhere the
// rows that a query shows are no older than max_age when it begins. No query fails.
func (s *prestoStage) overwritten(ctx context.Context, t *testing.T) {
	o := newOverwriting(ctx, t, s)
	atOnce := 0
	for _, content := range []string{"x1", "x2", "x1", "x3", "x2"} {
		for catalog, folder := range map[string]string{"carrying": "plain", "alio": "now"} {
			o.put(ctx, t, folder, content)
			if err := o.shows(ctx, t, catalog, folder, content); err != nil {
				t.Errorf("catalog %s in %s/, now that %s is there: %v", catalog, folder, content, err)
			}
			atOnce++
		}
	}
	o.put(ctx, t, "plain", "x3")
	if err := o.shows(ctx, t, "alio", "plain", "x3"); err != nil {
		t.Errorf("without alio-hive, of another length: %v", err)
	}
	o.put(ctx, t, "plain", "x1")
	if err := o.shows(ctx, t, "alio", "plain", "x1"); err != nil {
		t.Errorf("without alio-hive, of another length: %v", err)
	}
	done, old := o.put(ctx, t, "plain", "x2"), 0
	for {
		begun := time.Now()
		if o.shows(ctx, t, "alio", "plain", "x2") == nil {
			break
		}
		if old++; begun.Sub(done) > prestoMaxAge {
			t.Fatalf("a query that began %v after the file was overwritten shows the old rows; max_age is %v", begun.Sub(done), prestoMaxAge)
		}
	}
	t.Logf("new rows at once in %d of %d queries by alio-hive and at max_age 0; at %v, same length and second: %d queries with the old rows, the new ones %.1f s after the overwrite",
		atOnce, atOnce, prestoMaxAge, old, time.Since(done).Seconds())
}

// onlyFile is the content of the one data file in a table's folder.
func onlyFile(t *testing.T, dir string) []byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "[^._]*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d data files in %s (%v)", len(found), dir, err)
	}
	data, err := os.ReadFile(found[0])
	need(t, err)
	return data
}
