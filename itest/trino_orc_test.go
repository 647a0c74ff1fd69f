package itest

import (
	"context"
	"fmt"
	"testing"

	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// ORC tables that Trino has written, by what they are made of: a file that Trino reads whole, since its stripes are tiny, and one that it reads by streams.
var orcTables = []struct{ name, copies string }{{"orc_tiny", "(1)"}, {"orc_streams", "(1), (2), (3)"}}

func orcText(table string) string {
	return "SELECT count(*), sum(ss_quantity), sum(ss_net_paid), max(ss_sold_date_sk) FROM ${database}.${schema}." + table
}

// writeORC makes an ORC table of store_sales, taken so many times.
func (s *bridgeStage) writeORC(ctx context.Context, t *testing.T, catalog, name, copies string) {
	t.Helper()
	s.rows(ctx, t, catalog, fmt.Sprintf("CREATE TABLE ${database}.${schema}.%s WITH (format = 'ORC', external_location = 's3://%s/tables/%s') AS "+
		"SELECT s.* FROM tpcds.tiny.store_sales s CROSS JOIN (VALUES %s) v (n)", name, s.s3.Bucket, name, copies))
}

// orc: the bridge gives the rows of the stock connector; cold it makes no more data requests and fetches at most 1.10 times what Trino asked for; repeated, it
// makes no data request and no HEAD.
func (s *bridgeStage) orc(ctx context.Context, t *testing.T) {
	for _, made := range orcTables {
		s.writeORC(ctx, t, "hive", made.name, made.copies)
		want, asked, stock := s.measured(ctx, t, "hive", orcText(made.name))
		rows, fetched, cold := s.measured(ctx, t, "alio_hive", orcText(made.name))
		same(t, made.name+" cold", want, rows)
		s.settled(ctx, t)
		rows, _, warm := s.measured(ctx, t, "alio_hive", orcText(made.name))
		same(t, made.name+" warm", want, rows)
		n := s3proxy.Asked(asked)
		t.Logf("%s: %v; stock %v; cold %v, asked %d; warm %v", made.name, want, stock, cold, n, warm)
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
