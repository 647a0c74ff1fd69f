package itest

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

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
}

// hudi reads a copy-on-write table by plugin/hudi. Presto writes none, so the table is made by hand: a timeline of one commit, the files that Presto has
// written for a Hive table, and an entry in the metastore with Hudi's input format.
func (s *prestoStage) hudi(ctx context.Context, t *testing.T) {
	const instant, base = "20260101000000000", "11111111-2222-3333-4444-555555555555-0_0-0-0_20260101000000000.parquet"
	files := map[string][]byte{
		base: onlyFile(t, filepath.Join(s.meta, "here", "item")),
		".hoodie/hoodie.properties": []byte("hoodie.table.name=item\nhoodie.table.type=COPY_ON_WRITE\nhoodie.table.version=6\nhoodie.timeline.layout.version=1\n" +
			"hoodie.table.base.file.format=PARQUET\nhoodie.archivelog.folder=archived\n" +
			fmt.Sprintf("hoodie.table.checksum=%d\n", crc32.ChecksumIEEE([]byte(".item")))), // of database and table

		".hoodie/" + instant + ".commit": []byte(`{"partitionToWriteStats":{"":[{"fileId":"11111111-2222-3333-4444-555555555555-0","path":"` + base +
			`","prevCommit":"null","partitionPath":""}]},"compacted":false,"extraMetadata":{},"operationType":"BULK_INSERT"}`),
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, err := s.store.Client().PutObject(ctx, &awss3.PutObjectInput{Bucket: &s.store.Bucket, Key: aws.String("hudi/item/" + name), Body: bytes.NewReader(files[name])})
		need(t, err)
	}
	for _, scheme := range []string{"s3", "s3a"} {
		_, err := s.presto.Query(ctx, "CREATE SCHEMA stock."+scheme+"_hudi")
		need(t, err)
		need(t, harness.EnterHudiTable(s.meta, "here", scheme+"_hudi", scheme+"://"+s.store.Bucket+"/hudi", "item"))
	}
	const text = "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}.item"
	rows := s.tableFormat(ctx, t, "hudi", text, "s3_hudi", "s3a_hudi")
	if firstColumn(t, rows) != 2000 {
		t.Errorf("the table has 2,000 rows, and Presto counts %v", rows)
	}
}
