package itest

import (
	"bytes"
	"context"
	"encoding/base64"
	"path/filepath"
	"testing"

	"github.com/alio-lake/alio/itest/harness"
)

// hdfsBlock is the block size of Presto's tables on HDFS: small, so that a file of a tiny table has several.
const hdfsBlock = 1 << 20

// overHDFS has Presto read tables on HDFS by the bridge: Parquet, and one of lines of text, whose files may grow. The rows are those of the
// same files on local disk; repeated, a query reads nothing from a DataNode and the sidecar asks the NameNode nothing, since the
// bridge has the version from the blocks that it is told when it opens a file. What is appended is in the next answer, for which
// nothing but the last block is read.
func (s *prestoStage) overHDFS(ctx context.Context, t *testing.T, texts map[string]string) {
	if _, err := s.presto.QueryWith(ctx, "CREATE TABLE stock.here.lines WITH (format = 'TEXTFILE') AS SELECT ss_item_sk, ss_quantity, ss_net_paid, ss_list_price FROM stock.here.store_sales",
		map[string]string{"stock.compression_codec": "NONE"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.presto.Query(ctx, "CREATE SCHEMA stock.cluster"); err != nil {
		t.Fatal(err)
	}
	tables := append([]string{"lines"}, prestoTables...)
	if err := harness.EnterPrestoTables(s.meta, "here", "cluster", s.hdfs.URI+"/warehouse", tables); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if err := s.hdfs.Put(ctx, "/warehouse/"+table+"/part-0", onlyFile(t, filepath.Join(s.meta, "here", table))); err != nil {
			t.Fatal(err)
		}
	}
	lines := "SELECT count(*), sum(ss_quantity), sum(ss_net_paid), max(ss_item_sk) FROM ${database}.${schema}.lines"
	for name, text := range map[string]string{"q43": texts["q43"], "lines": lines} {
		want, _ := s.rows(ctx, t, text, "stock", "here")
		for _, again := range []bool{false, true} {
			got, c := s.onHDFS(ctx, t, text)
			if err := harness.SameRows(want, got); err != nil {
				t.Errorf("%s over HDFS: %v", name, err)
			}
			if again && (c.bytes > 0 || c.reads > 0 || c.sidecar > 0 || c.metadata["getlocatedfileinfo"] > 0) { // what the sidecar asks by
				t.Errorf("%s over HDFS was repeated and read data, or had the sidecar ask for a version: %v", name, c)
			} else if !again && c.sidecar == 0 {
				t.Errorf("%s over HDFS was not read by the sidecar: %v", name, c)
			}
		}
	}
	before, _ := s.onHDFS(ctx, t, lines)
	file := onlyFile(t, filepath.Join(s.meta, "here", "lines"))
	more := file[:bytes.LastIndexByte(file[:100_000], '\n')+1]
	for _, command := range []string{"append w /warehouse/lines/part-0", "write w " + base64.StdEncoding.EncodeToString(more), "close w"} {
		if _, err := s.hdfs.Do(ctx, command); err != nil {
			t.Fatal(err)
		}
	}
	after, c := s.onHDFS(ctx, t, lines)
	if was, is := firstColumn(t, before), firstColumn(t, after); is != was+int64(bytes.Count(more, []byte("\n"))) {
		t.Errorf("%d rows after %d lines were appended to %d", is, bytes.Count(more, []byte("\n")), was)
	}
	if last := int64(len(file)+len(more)) % hdfsBlock; c.sidecar == 0 || c.sidecar > last {
		t.Errorf("%d bytes were read of HDFS after the append; the last block has %d", c.sidecar, last)
	}
}

// onHDFS runs a query over HDFS by the bridge and says what it cost the servers.
func (s *prestoStage) onHDFS(ctx context.Context, t *testing.T, text string) (rows []string, c cost) {
	t.Helper()
	const metric = `alio_origin_read_bytes_total{mount="hdfs-lake"}`
	had, err := s.alio.Metrics(ctx)
	need(t, err)
	c, err = atHDFS(s.hdfs)(ctx, func() (err error) {
		rows, err = s.presto.Query(ctx, harness.In(text, "alio", "cluster"))
		return err
	})
	need(t, err)
	has, err := s.alio.Metrics(ctx)
	need(t, err)
	c.sidecar = int64(has[metric] - had[metric])
	t.Logf("  alio.cluster: %d rows; %v", len(rows), c)
	return rows, c
}
