package itest

import (
	"context"
	"fmt"
	"testing"

	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// orcTables are of ORC, and written by the engine: one whose file is read whole, since it is below what the catalogs set (orcWhole), and one that is read by streams.
var orcTables = []struct{ name, of, text string }{
	{"orc_whole", "item", "SELECT count(*), sum(i_current_price), max(i_item_id) FROM ${database}.${schema}.orc_whole"},
	{"orc_streams", "store_sales", "SELECT count(*), sum(ss_quantity), sum(ss_net_paid), max(ss_sold_date_sk) FROM ${database}.${schema}.orc_streams"},
}

// orcWhole is up to which size both engines read an ORC file at once: by default 8MB, of which this test would have to write one.
const orcWhole = "1MB"

// orc: the bridge gives the rows of the stock connector; cold it makes no more data requests and fetches at most 1.10 times what Trino asked for; repeated, it
// makes no data request and no HEAD.
func (s *bridgeStage) orc(ctx context.Context, t *testing.T) {
	for _, made := range orcTables {
		s.rows(ctx, t, "hive", fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s WITH (format = 'ORC', external_location = 's3://%s/tables/%s') AS SELECT * FROM ${database}.${schema}.%s",
			made.name, s.s3.Bucket, made.name, made.of))
		want, asked, stock := s.measured(ctx, t, "hive", made.text)
		rows, fetched, cold := s.measured(ctx, t, "alio_hive", made.text)
		same(t, made.name+" cold", want, rows)
		s.settled(ctx, t)
		rows, _, warm := s.measured(ctx, t, "alio_hive", made.text)
		same(t, made.name+" warm", want, rows)
		n := s3proxy.Asked(asked)
		t.Logf("%s: stock %v; cold %v, asked %d; warm %v", made.name, stock, cold, n, warm)
		if stock.DataGETs == 0 || cold.DataGETs == 0 || cold.DataGETs > stock.DataGETs {
			t.Errorf("%s: %d data GETs when cold, %d by the stock connector:\n%q\n%q", made.name, cold.DataGETs, stock.DataGETs, ranges(fetched), ranges(asked))
		}
		if over := float64(cold.BytesFetched) / float64(n); over > 1.10 {
			t.Errorf("%s: %d bytes fetched for %d asked, %.3f times; the limit is 1.10:\n%q\n%q", made.name, cold.BytesFetched, n, over, ranges(fetched), ranges(asked))
		}
		if warm.DataGETs > 0 || warm.HEADs > 0 {
			t.Errorf("%s: %d data GETs and %d HEADs when warm; there must be none", made.name, warm.DataGETs, warm.HEADs)
		}
	}
}
