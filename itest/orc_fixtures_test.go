//go:build fixtures

package itest

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/alio-lake/alio/itest/harness"
)

// TestORCFixtures makes formats/testdata/orc/presto_*.orc, as Presto's own writer writes them: one larger than what is cached as one page, and a small one of several
// stripes. Their .meta are made by make.py beside them.
func TestORCFixtures(t *testing.T) {
	ctx, meta := t.Context(), filepath.Join(t.TempDir(), "metastore")
	need(t, os.MkdirAll(meta, 0o755))
	plain := harness.PrestoHiveCatalog(meta, "http://127.0.0.1:9", "none", "none") // no S3 is asked for
	small := maps.Clone(plain)
	small["hive.orc.writer.stripe-max-rows"] = "3000"
	p := runPresto(ctx, t, harness.PrestoOptions{Catalogs: map[string]map[string]string{"large": plain, "stripes": small}})
	need(t, harness.CreatePrestoTables(ctx, p, "large", "here", nil, t.Logf))
	for name, tickets := range map[string]string{"large": "6000", "stripes": "700"} {
		_, err := p.Query(ctx, "CREATE TABLE "+name+".here.presto_"+name+" WITH (format = 'ORC') AS SELECT ss_sold_date_sk, ss_item_sk, ss_quantity, ss_net_paid,"+
			" 'ticket ' || CAST(ss_ticket_number AS varchar) AS ticket FROM tpcds.tiny.store_sales WHERE ss_ticket_number <= "+tickets+" ORDER BY ss_ticket_number, ss_item_sk")
		need(t, err)
		files, err := filepath.Glob(filepath.Join(meta, "here", "presto_"+name, "[0-9]*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s has the files %q, %v", name, files, err)
		}
		data, err := os.ReadFile(files[0])
		need(t, err)
		need(t, os.WriteFile("../formats/testdata/orc/presto_"+name+".orc", data, 0o644))
		t.Logf("presto_%s.orc: %d bytes", name, len(data))
	}
}
