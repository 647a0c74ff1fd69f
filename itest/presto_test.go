package itest

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// The lean real-Presto test: few tables and few queries, so that it fits into six minutes on two cores.
var (
	prestoTables  = []string{"store_sales", "date_dim", "item", "store"}
	prestoQueries = []string{"q43", "q55"} // few rows each, below their LIMIT: no ties are cut
)

// prestoDeadline bounds the whole test; a hung query fails by it instead of by the test binary's timeout, with the servers' output.
const prestoDeadline = 15 * time.Minute

// prestoStage is a Presto whose tables lie on local disk (schema here) and the same on S3 (schema lake), behind a measuring proxy.
type prestoStage struct {
	store  *harness.S3Server
	origin *s3proxy.Proxy
	presto *harness.Presto
	meta   string // the metastore's folder
}

func startPresto(ctx context.Context, t *testing.T, o harness.PrestoOptions) *prestoStage {
	t.Helper()
	s := &prestoStage{store: harness.S3(t), meta: filepath.Join(t.TempDir(), "metastore")}
	var err error
	if s.origin, err = s3proxy.Start(s3proxy.Options{Target: s.store.Endpoint}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.origin.Close() }) // never fails
	if err := os.MkdirAll(s.meta, 0o755); err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Logf = t.TempDir(), t.Logf
	o.Catalogs = maps.Clone(o.Catalogs)
	if o.Catalogs == nil {
		o.Catalogs = map[string]map[string]string{}
	}
	o.Catalogs["stock"] = harness.PrestoHiveCatalog(s.meta, s.origin.URL(), s.store.AccessKey, s.store.SecretKey)
	if s.presto, err = harness.StartPresto(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.presto.Output())
		}
		s.presto.Stop()
	})
	if err := harness.CreatePrestoTables(ctx, s.presto, "stock", "here", prestoTables, t.Logf); err != nil {
		t.Fatal(err)
	}
	if _, err := s.presto.Query(ctx, "CREATE SCHEMA stock.lake"); err != nil {
		t.Fatal(err)
	}
	if err := harness.PrestoTablesOnS3(ctx, s.meta, "here", "lake", "s3", s.store.Bucket, s.store.Client(), prestoTables); err != nil {
		t.Fatal(err)
	}
	return s
}

// prestoTexts are the queries with ${database} and ${schema} in them, by name.
func prestoTexts(ctx context.Context, t *testing.T) map[string]string {
	t.Helper()
	all, err := harness.TPCDS(ctx, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{"2-columns": twoColumns}
	for _, name := range prestoQueries {
		queries[name] = all[name]
	}
	return queries
}

// Presto reads the Parquet tables that it wrote to local disk, and the same files on S3, with the rows of the generator.
func TestPresto(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), prestoDeadline)
	defer cancel()
	texts := prestoTexts(ctx, t)
	s := startPresto(ctx, t, harness.PrestoOptions{})
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		want, err := s.presto.Query(ctx, harness.In(texts[name], "tpcds", "tiny"))
		if err != nil {
			t.Fatalf("%s over the generator: %v", name, err)
		}
		for _, schema := range []string{"here", "lake"} {
			s.origin.Reset()
			begun := time.Now()
			got, err := s.presto.Query(ctx, harness.In(texts[name], "stock", schema))
			if err != nil {
				t.Fatalf("%s over schema %s: %v", name, schema, err)
			}
			_, cost, err := s.origin.Take(ctx)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s over %s: %d rows, %.1f s; %v", name, schema, len(got), time.Since(begun).Seconds(), cost)
			if err := harness.SameRows(want, got); err != nil {
				t.Errorf("%s over schema %s: %v", name, schema, err)
			}
			if onS3 := schema == "lake"; onS3 != (cost.DataGETs > 0) {
				t.Errorf("%s over schema %s made %d data GETs", name, schema, cost.DataGETs)
			}
		}
	}
}
