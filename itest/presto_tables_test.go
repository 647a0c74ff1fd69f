package itest

import (
	"context"
	"fmt"
	"testing"

	"github.com/alio-lake/alio/itest/harness"
)

// tableFormat reads a table of another connector's by the stock catalog and by the bridged one, whose counters have its name: the rows are the same, the first
// run by the bridge makes no more data requests than the stock connector, and the second makes none.
func (s *prestoStage) tableFormat(ctx context.Context, t *testing.T, connector, text, straight, bridged string) []string {
	t.Helper()
	want, stock := s.rows(ctx, t, text, "stock_"+connector, straight)
	first, cold := s.rows(ctx, t, text, connector, bridged)
	before := s.counters(ctx, t, connector)
	again, warm := s.rows(ctx, t, text, connector, bridged)
	after := s.counters(ctx, t, connector)
	same(t, connector+", cold", want, first)
	same(t, connector+", warm", want, again)
	if cold.DataGETs == 0 || cold.DataGETs > stock.DataGETs || warm.DataGETs > 0 {
		t.Errorf("%s: %d data GETs by the stock connector, %d by the bridge, %d when repeated", connector, stock.DataGETs, cold.DataGETs, warm.DataGETs)
	}
	if after["ReadBytes"] == before["ReadBytes"] || after["BypassedBytes"]+after["BypassedFiles"] > 0 {
		t.Errorf("%s: the repeated run read by other ways, before %v, after %v", connector, before, after)
	}
	t.Logf("  %s: requests for metadata (GET, HEAD, LIST, answered 404) and data: stock %d and %d, cold %d and %d, repeated %d and %d; then %.0f bytes of segments and %.0f sent by the sidecar", connector,
		stock.Requests-stock.DataGETs, stock.DataGETs, cold.Requests-cold.DataGETs, cold.DataGETs, warm.Requests-warm.DataGETs, warm.DataGETs,
		after["LocalBytes"]-before["LocalBytes"], after["SidecarBytes"]-before["SidecarBytes"])
	return want
}

// deltaLake reads a table that a writer of its own has made, with a checkpoint in its log, by plugin/delta.
func (s *prestoStage) deltaLake(ctx context.Context, t *testing.T) {
	need(t, harness.WriteDelta(ctx, s.store, "delta/t", t.Logf))
	const text = `SELECT count(*), sum(price), max(name), min(id) FROM ${database}."$path$"."${schema}"`
	rows := s.tableFormat(ctx, t, "delta", text, "s3://"+s.store.Bucket+"/delta/t", "s3a://"+s.store.Bucket+"/delta/t")
	if firstColumn(t, rows) != 3700 {
		t.Errorf("the table has 3,700 rows, and Presto counts %v", rows)
	}
	// One question whether the table's path is a file, and two listings: of the table's folder and of its log's.
	copyBelow(ctx, t, s.store, "delta/t/", "second/delta/")
	s.counted(ctx, t, text, "delta", "s3a://"+s.store.Bucket+"/second/delta", rows, 3)
	s.counted(ctx, t, text, "door_delta", "s3n://"+s.store.Bucket+"/second/delta", rows, 3)
}

// hudi reads tables that Hudi's own writer has made (formats/testdata) by plugin/hudi. Presto writes none, so they are entered into the metastore by hand, with Hudi's input
// format; of the one whose records are merged on read it then shows the base files.
func (s *prestoStage) hudi(ctx context.Context, t *testing.T) {
	_, err := s.presto.Query(ctx, "CREATE TABLE stock.here.hudi ("+hudiColumns+", p varchar) WITH (partitioned_by = ARRAY['p'])")
	need(t, err)
	_, err = s.presto.Query(ctx, "INSERT INTO stock.here.hudi SELECT '', '', '', '', '', '', BIGINT '0', DOUBLE '0', p FROM (VALUES 'p0', 'p1') t (p)") // for its partitions
	need(t, err)
	for _, scheme := range []string{"s3", "s3a"} {
		_, err := s.presto.Query(ctx, "CREATE SCHEMA stock."+scheme+"_hudi")
		need(t, err)
	}
	for _, made := range hudiTables {
		need(t, harness.PutTestTable(ctx, s.store.Client(), s.store.Bucket, "hudi/"+made.name, made.name))
		for _, scheme := range []string{"s3", "s3a"} {
			need(t, harness.EnterHudiTable(s.meta, "here/hudi", scheme+"_hudi/"+made.name, scheme+"://"+s.store.Bucket+"/hudi/"+made.name))
		}
		text := "SELECT count(*), sum(v), max(ts), max(id), min(_hoodie_commit_time) FROM ${database}.${schema}." + made.name
		rows := s.tableFormat(ctx, t, "hudi", text, "s3_hudi", "s3a_hudi")
		if firstColumn(t, rows) != made.rows {
			t.Errorf("%s has %d rows, and Presto shows %v", made.name, made.rows, rows)
		}
	}
	made := hudiTables[0]
	need(t, harness.PutTestTable(ctx, s.store.Client(), s.store.Bucket, "second/"+made.name, made.name))
	text := "SELECT count(*), sum(v), max(ts), max(id), min(_hoodie_commit_time) FROM ${database}.${schema}." + made.name
	want, _ := s.rows(ctx, t, text, "stock_hudi", "s3_hudi")
	for scheme, catalog := range map[string]string{"s3a": "hudi", "s3n": "door_hudi"} {
		_, err := s.presto.Query(ctx, "CREATE SCHEMA stock."+scheme+"_second")
		need(t, err)
		need(t, harness.EnterHudiTable(s.meta, "here/hudi", scheme+"_second/"+made.name, scheme+"://"+s.store.Bucket+"/second/"+made.name))
		s.counted(ctx, t, text, catalog, scheme+"_second", want, 4) // whether .hoodie is a file, and listings of it and of two partitions
	}
}

// orc is sameRows for ORC tables that Presto has written, of which at most 1.10 times what was asked for is fetched.
func (s *prestoStage) orc(ctx context.Context, t *testing.T) {
	for _, made := range orcTables {
		_, err := s.presto.Query(ctx, fmt.Sprintf("CREATE TABLE stock.here.%s WITH (format = 'ORC') AS SELECT * FROM stock.here.%s", made.name, made.of))
		need(t, err)
		s.copyTables(ctx, t, made.name, made.name)
		t.Run(made.name, func(t *testing.T) {
			if over := s.sameRows(ctx, t, made.name, made.text); over > 1.10 {
				t.Errorf("%.3f times what was asked for was fetched; the limit is 1.10", over)
			}
		})
	}
}
