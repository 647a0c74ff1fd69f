package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// trinoOrigin is an origin that Trino reads through the S3 door: a mount of the sidecar, which is a bucket, and a schema with the
// same tables as every other one.
type trinoOrigin struct {
	schema  string
	mount   string
	put     func(ctx context.Context, key string, data []byte) error // past the sidecar
	measure costMeter
}

// costMeter says what the servers of an origin did while run ran.
type costMeter func(ctx context.Context, run func() error) (cost, error)

// cost is what one query cost.
type cost struct {
	reads    int64            // of data files: requests, or reads of blocks
	bytes    int64            // of data files, by the servers' own count
	of       map[string]int64 // bytes by key; nil for HDFS, whose DataNodes do not tell
	metadata map[string]int64 // other requests, by what they were
	sidecar  int64            // bytes that the sidecar read of this mount, by its own count
	asked    map[string]int64 // bytes that Trino asked the door for, by key
	listings int64            // that it asked the door for
	took     time.Duration
}

func sum(all map[string]int64) (n int64) {
	for _, one := range all {
		n += one
	}
	return n
}

func (c cost) String() string {
	return fmt.Sprintf("%.1f s; asked for %d bytes and %d listings; origin: %d reads of %d bytes (%d by the sidecar's count), metadata %v",
		c.took.Seconds(), sum(c.asked), c.listings, c.reads, c.bytes, c.sidecar, c.metadata)
}

// elsewhere are the origins that are not S3, in the sidecar's configuration and for the tests. They start before the stage.
func elsewhere(t *testing.T, h *harness.HDFS) (mounts string, all []trinoOrigin) {
	t.Helper()
	g := harness.GCSServer(t)
	p, err := s3proxy.Start(s3proxy.Options{Target: g.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // never fails
	client, err := g.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // never fails
	all = []trinoOrigin{
		{schema: "door_hdfs", mount: "hdfs-lake", measure: atHDFS(h), put: func(ctx context.Context, key string, data []byte) error {
			return h.Put(ctx, "/warehouse/"+key, data)
		}},
		{schema: "door_gcs", mount: "gcs-lake", measure: atProxy(p), put: func(ctx context.Context, key string, data []byte) error {
			return putGCS(ctx, client.Bucket(g.Bucket), key, data)
		}},
	}
	return fmt.Sprintf("  hdfs-lake: {uri: '%s/warehouse', hdfs: {conf_dir: '%s', user: %s}, writes: pass_through}\n", h.URI, h.ConfDir, harness.HDFSUser) +
		fmt.Sprintf("  gcs-lake: {uri: 'gs://%s', gcs: {endpoint: '%s', anonymous: true}, writes: pass_through}\n", g.Bucket, p.URL()), all
}

func putGCS(ctx context.Context, b *storage.BucketHandle, key string, data []byte) error {
	w := b.Object(key).NewWriter(ctx)
	_, err := w.Write(data)
	return errors.Join(err, w.Close())
}

// atProxy measures at the proxy before an object store.
func atProxy(p *s3proxy.Proxy) costMeter {
	return func(ctx context.Context, run func() error) (c cost, err error) {
		if _, _, err := p.Take(ctx); err != nil {
			return c, err
		}
		if err := run(); err != nil {
			return c, err
		}
		entries, sum, err := p.Take(ctx)
		if err == nil && sum.Dropped > 0 {
			err = fmt.Errorf("the measuring proxy dropped %d entries: its counts are not whole", sum.Dropped)
		}
		c.of, c.metadata = map[string]int64{}, map[string]int64{}
		for _, e := range entries {
			if !e.IsDataGET() {
				c.metadata[fmt.Sprintf("%s %s", e.Method, e.Kind)]++
				continue
			}
			c.reads++
			c.bytes += e.Bytes
			c.of[e.Key] += e.Bytes
		}
		return c, err
	}
}

// atHDFS measures by the counters of the DataNodes and the NameNode. A DataNode counts the bytes of reads, checksums included, that
// their client has taken to the end, and the blocks of all reads.
func atHDFS(h *harness.HDFS) costMeter {
	return func(ctx context.Context, run func() error) (c cost, err error) {
		before, err := settledHDFS(ctx, h)
		if err != nil {
			return c, err
		}
		if err := run(); err != nil {
			return c, err
		}
		after, err := settledHDFS(ctx, h)
		if err != nil {
			return c, err
		}
		c.bytes = after.BytesRead() - before.BytesRead()
		c.reads = blocksRead(after) - blocksRead(before)
		_, had := before.ClientRPCs()
		_, has := after.ClientRPCs()
		c.metadata = map[string]int64{}
		for method, n := range has {
			if n > had[method] {
				c.metadata[method] = n - had[method]
			}
		}
		return c, nil
	}
}

// settledHDFS reads the counters once they stand still: a DataNode counts a read after its client has left.
func settledHDFS(ctx context.Context, h *harness.HDFS) (harness.HDFSCounts, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last, err := h.Counts(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-tick.C:
		}
		var now harness.HDFSCounts
		if now, err = h.Counts(ctx); err == nil && now.BytesRead() == last.BytesRead() && blocksRead(now) == blocksRead(last) {
			return now, nil
		}
		last = now
	}
	return last, err
}

func blocksRead(c harness.HDFSCounts) (n int64) {
	for _, d := range c.DataNodes {
		n += d["BlocksRead"]
	}
	return n
}

// through runs a text through the sidecar on the origin's tables and counts what that cost.
func (o trinoOrigin) through(ctx context.Context, t *testing.T, s *harness.Stage, text string) ([]string, cost) {
	t.Helper()
	var rows []string
	var c cost
	err := func() (err error) {
		door, metric := s.Recorder(harness.Through), fmt.Sprintf("alio_origin_read_bytes_total{mount=%q}", o.mount)
		_, _, err = door.Take(ctx)
		had, err2 := s.Alio.Metrics(ctx)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		var took time.Duration
		c, err = o.measure(ctx, func() (err error) {
			begun := time.Now()
			rows, err = s.Rows(ctx, harness.Through, harness.In(text, string(harness.Through), o.schema))
			took = time.Since(begun)
			return err
		})
		if err != nil {
			return err
		}
		has, err := s.Alio.Metrics(ctx)
		entries, _, err2 := door.Take(ctx)
		c.took, c.sidecar = took, int64(has[metric]-had[metric])
		return errors.Join(err, err2, c.atDoor(entries, o.mount))
	}()
	if err != nil {
		t.Fatalf("schema %s: %v", o.schema, err)
	}
	return rows, c
}

// atDoor counts what Trino asked of a mount.
func (c *cost) atDoor(entries []s3proxy.Entry, mount string) error {
	byKey := map[string][]s3proxy.Entry{}
	for _, e := range entries {
		if e.Bucket != mount {
			return fmt.Errorf("Trino asked the bucket %s, want %s", e.Bucket, mount)
		}
		if e.Kind == s3proxy.List {
			c.listings++
		}
		byKey[e.Key] = append(byKey[e.Key], e)
	}
	c.asked = map[string]int64{}
	for key, entries := range byKey {
		if n := s3proxy.Asked(entries); n > 0 {
			c.asked[key] = n
		}
	}
	return nil
}

// growing is asked before and after a file has come: its rows, and sums that any other rows would change.
const growing = "SELECT count(*), count(DISTINCT ss_ticket_number), sum(ss_quantity), sum(ss_net_paid) FROM ${database}.${schema}.store_sales"

// otherOrigins has Trino read the same Parquet tables on HDFS, on GCS and on S3 through one sidecar with a mount of each: the rows
// are those of S3 without Alio, a query that is repeated reads no data of its origin, and a file that is put into a table's folder
// past the sidecar is in the next answer, for which nothing but that file is read.
func otherOrigins(ctx context.Context, t *testing.T, s *harness.Stage, others []trinoOrigin, queries map[string]string) {
	direct := harness.S3Client(s.S3.Endpoint, s.S3.Region, s.S3.AccessKey, s.S3.SecretKey)
	all := append([]trinoOrigin{{schema: "tiny", mount: s.S3.Bucket, measure: atProxy(s.Origin), put: func(ctx context.Context, key string, data []byte) error {
		_, err := direct.PutObject(ctx, &awss3.PutObjectInput{Bucket: &s.S3.Bucket, Key: &key, Body: bytes.NewReader(data)})
		return err
	}}}, others...)
	begun := time.Now()
	for _, o := range others {
		for _, table := range trinoTables {
			putAll(ctx, t, o, tableFiles(ctx, t, direct, s.S3.Bucket, table))
		}
		register(ctx, t, s, o)
	}
	more, rows := moreSales(ctx, t, s, direct)
	t.Logf("tables copied and registered in %.1f s", time.Since(begun).Seconds())

	queries = maps.Clone(queries)
	queries["growing"] = growing
	want := straightRows(ctx, t, s, queries)
	if err := s.Alio.Cold(ctx); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		t.Run(o.mount+" twice", func(t *testing.T) { twice(ctx, t, s, o, queries, want) })
	}
	for _, o := range all {
		putAll(ctx, t, o, more)
	}
	grown := straightRows(ctx, t, s, map[string]string{"growing": growing})["growing"]
	if was, is := firstColumn(t, want["growing"]), firstColumn(t, grown); is != was+rows {
		t.Errorf("store_sales on S3 has %d rows, had %d, and %d were added", is, was, rows)
	}
	for _, o := range all {
		t.Run(o.mount+" with another file", func(t *testing.T) { anotherFile(ctx, t, s, o, grown, more) })
	}
	for _, o := range others {
		t.Run(o.mount+" written by Trino", func(t *testing.T) { writtenByTrino(ctx, t, s, o) })
	}
}

// tableFiles are the files of a table on S3, by key.
func tableFiles(ctx context.Context, t *testing.T, c *awss3.Client, bucket, table string) map[string][]byte {
	t.Helper()
	list, err := c.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("tables/" + table + "/")})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, object := range list.Contents {
		out, err := c.GetObject(ctx, &awss3.GetObjectInput{Bucket: &bucket, Key: object.Key})
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(out.Body)
		if err = errors.Join(err, out.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if len(data) > 0 { // not a folder's marker
			files[*object.Key] = data
		}
	}
	if len(files) == 0 || *list.IsTruncated {
		t.Fatalf("table %s has %d files, truncated: %v", table, len(files), *list.IsTruncated)
	}
	return files
}

func putAll(ctx context.Context, t *testing.T, o trinoOrigin, files map[string][]byte) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(files)) {
		if err := o.put(ctx, key, files[key]); err != nil {
			t.Fatalf("%s: put %s: %v", o.mount, key, err)
		}
	}
}

// register names the tables of a mount to Trino: what an operator does, with the columns taken from the table on S3.
func register(ctx context.Context, t *testing.T, s *harness.Stage, o trinoOrigin) {
	t.Helper()
	statements := []string{"CREATE SCHEMA alio." + o.schema}
	for _, table := range trinoTables {
		statements = append(statements, fmt.Sprintf("CREATE TABLE alio.%s.%s (LIKE alio.tiny.%s) WITH (format = 'PARQUET', external_location = 's3://%s/tables/%s')",
			o.schema, table, table, o.mount, table))
	}
	for _, statement := range statements {
		if _, err := s.Rows(ctx, harness.Through, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// moreSales has Trino write other rows of store_sales; they are files to be put beside those of the table, and that many rows.
func moreSales(ctx context.Context, t *testing.T, s *harness.Stage, c *awss3.Client) (files map[string][]byte, rows int64) {
	t.Helper()
	_, err := s.Rows(ctx, harness.Straight, "CREATE TABLE straight.tiny.more WITH (format = 'PARQUET', external_location = 's3://"+s.S3.Bucket+
		"/tables/more') AS SELECT * FROM tpcds.tiny.store_sales WHERE ss_quantity < 20")
	if err != nil {
		t.Fatal(err)
	}
	count, err := s.Rows(ctx, harness.Straight, "SELECT count(*) FROM straight.tiny.more")
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for key, data := range tableFiles(ctx, t, c, s.S3.Bucket, "more") {
		files[strings.Replace(key, "/more/", "/store_sales/", 1)] = data
	}
	return files, firstColumn(t, count)
}

// firstColumn is the number that the only row of an answer begins with.
func firstColumn(t *testing.T, rows []string) (n int64) {
	t.Helper()
	if len(rows) != 1 {
		t.Fatalf("%d rows of a count", len(rows))
	}
	if _, err := fmt.Sscan(rows[0], &n); err != nil || n == 0 {
		t.Fatalf("a count of %q: %v", rows[0], err)
	}
	return n
}

func straightRows(ctx context.Context, t *testing.T, s *harness.Stage, queries map[string]string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for name, text := range queries {
		rows, err := s.Rows(ctx, harness.Straight, text)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = rows
	}
	return all
}

// twice runs each query with nothing cached of it, or what the queries before it left, and again.
func twice(ctx context.Context, t *testing.T, s *harness.Stage, o trinoOrigin, queries map[string]string, want map[string][]string) {
	begun := time.Now()
	var read int64
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		for _, try := range []string{"first", "again"} {
			rows, c := o.through(ctx, t, s, queries[name])
			t.Logf("%s, %s: %d rows; %v", name, try, len(rows), c)
			if err := harness.SameRows(want[name], rows); err != nil {
				t.Errorf("%s on %s, %s: %v", name, o.mount, try, err)
			}
			if len(c.asked) == 0 || len(c.metadata) == 0 {
				t.Errorf("%s on %s, %s, asked the door for nothing or the origin for no listing: %v", name, o.mount, try, c)
			}
			if try == "first" {
				read += min(c.bytes, c.sidecar)
			} else if c.reads > 0 || c.bytes > 0 || c.sidecar > 0 || sum(c.metadata) > c.listings {
				t.Errorf("%s on %s was repeated and read data, or asked for more than Trino's listings: %v", name, o.mount, c)
			}
		}
	}
	if read == 0 {
		t.Errorf("the first runs read no data of %s: nothing was measured", o.mount)
	}
	t.Logf("%s: %.1f s", o.mount, time.Since(begun).Seconds())
}

// anotherFile runs the growing query right after files have come to its table.
func anotherFile(ctx context.Context, t *testing.T, s *harness.Stage, o trinoOrigin, want []string, files map[string][]byte) {
	rows, c := o.through(ctx, t, s, growing)
	t.Logf("%d rows; %v", len(rows), c)
	if err := harness.SameRows(want, rows); err != nil {
		t.Errorf("%s does not show the new rows: %v", o.mount, err)
	}
	var asked, size int64 // of the new files
	for key, data := range files {
		asked += c.asked[key]
		size += int64(len(data))
		delete(c.of, key)
	}
	if asked == 0 || c.bytes == 0 {
		t.Errorf("%s: the new files were asked for %d bytes and read for %d", o.mount, asked, c.bytes)
	}
	if len(c.of) > 0 {
		t.Errorf("%s: data was read of more than the new files: %v", o.mount, c.of)
	}
	if limit := float64(asked) * 1.10; float64(c.sidecar) > limit {
		t.Errorf("%s: the sidecar read %d bytes, of the new files %d were asked for", o.mount, c.sidecar, asked)
	}
	if c.bytes > size+size/100 {
		t.Errorf("%s: the servers gave %d bytes, the new files have %d", o.mount, c.bytes, size)
	}
}

// writtenByTrino has Trino write a table through the door, in two statements, and read it.
func writtenByTrino(ctx context.Context, t *testing.T, s *harness.Stage, o trinoOrigin) {
	begun := time.Now()
	want, err := s.Rows(ctx, harness.Straight, "SELECT * FROM straight.tiny.item")
	if err != nil {
		t.Fatal(err)
	}
	table := "alio." + o.schema + ".written"
	for _, statement := range []string{
		"CREATE TABLE " + table + " WITH (format = 'PARQUET', external_location = 's3://" + o.mount + "/tables/written')" +
			" AS SELECT * FROM alio.tiny.item WHERE i_item_sk <= 700",
		"INSERT INTO " + table + " SELECT * FROM alio." + o.schema + ".item WHERE i_item_sk > 700",
	} {
		if _, err := s.Rows(ctx, harness.Through, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	got, err := s.Rows(ctx, harness.Through, "SELECT * FROM "+table)
	if err == nil {
		err = harness.SameRows(want, got)
	}
	if err != nil {
		t.Errorf("%s: %v", table, err)
	}
	t.Logf("%d rows, %.1f s", len(got), time.Since(begun).Seconds())
}
