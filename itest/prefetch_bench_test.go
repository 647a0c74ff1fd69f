//go:build bench

package itest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/formats"
	"github.com/alio-lake/alio/formats/parquet/parquettest"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// TestPrefetchBench reads tables through the S3 door of a sidecar, cold, with prefetching off and on, before a store with the first-byte latency of
// s3proxy.DefaultLatency, and prints what it took. The readers are clients that read as engines do: a footer, then the chunks of some columns one after
// the other; a table's metadata, each file when the one before has named it.
func TestPrefetchBench(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	store := harness.S3(t)
	proxy, err := s3proxy.Start(s3proxy.Options{Target: store.Endpoint, Latency: s3proxy.DefaultLatency, Jitter: harness.LatencyJitter, Seed: 1})
	must(t, err)
	t.Cleanup(func() { proxy.Close() })
	b := &prefetchBench{t: t, ctx: ctx, store: store, proxy: proxy}
	b.files()
	b.orcFiles("one", 100_000, 64<<20)
	b.orcFiles("many", 100_000, 4<<20)
	b.tables("delta_multipart", "delta_rs", "iceberg_hadoop", "hudi_mor9")
	t.Log("\n| scan | prefetch | s (median of 3) | GETs | HEADs and 404s | MB fetched | useful MB | wasted MB |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, s := range []struct {
		name, more string
		modes      []string
		scan       func(*awss3.Client)
	}{
		{"3 of 12 columns of 24 files, one reader", "", []string{"off", "on"}, func(c *awss3.Client) { b.scan(c, 1, 24, 2, 3, 8) }},
		{"3 of 12 columns of 24 files, four readers", "", []string{"off", "on"}, func(c *awss3.Client) { b.scan(c, 4, 24, 2, 3, 8) }},
		{"3 neighbours of 12 columns of 24 files, one reader", "", []string{"off", "on"}, func(c *awss3.Client) { b.scan(c, 1, 24, 4, 5, 6) }},
		{"2 columns, after 12 files 2 others, one reader", "", []string{"off", "on"}, func(c *awss3.Client) {
			b.scan(c, 1, 12, 1, 2)
			b.scanFrom(c, 1, 12, 24, 9, 10)
		}},
		{"footers only of 24 files, one reader", "", []string{"off", "on"}, func(c *awss3.Client) { b.scan(c, 1, 24) }},
		{"ORC, one stripe, 3 of 12 columns, pyarrow", "", []string{"off", "on"}, func(*awss3.Client) { b.orc("one", "c2", "c3", "c8") }},
		{"ORC, four stripes, 3 of 12 columns, pyarrow", "", []string{"off", "on"}, func(*awss3.Client) { b.orc("many", "c2", "c3", "c8") }},
		{"Delta log of 8 commits, checkpoint in 3 parts", "", []string{"off", "metadata"}, b.delta},
		{"the same, max_age of not-found 1 s", "freshness:\n  rules:\n    - {path: '**', answers: [not_found], max_age: 1s}\n", []string{"off", "metadata"}, b.delta},
		{"Iceberg: metadata, manifest list, manifests", "", []string{"off", "metadata"}, b.iceberg},
	} {
		t.Run(s.name, func(t *testing.T) {
			b.t = t
			for _, mode := range s.modes {
				b.measure(s.name, mode, s.more, s.scan)
			}
		})
	}
}

type prefetchBench struct {
	t       *testing.T
	ctx     context.Context
	store   *harness.S3Server
	proxy   *s3proxy.Proxy
	size    int64
	columns *formats.Columns
	names   []uint64
	alio    *harness.Alio // that is measured
	took    float64       // seconds, by a reader that measures itself; 0: by the clock here
	orcs    map[string]string
}

// files puts 24 files of one table into the store.
func (b *prefetchBench) files() {
	data := parquettest.Arrow(b.t, parquettest.Spec{Columns: 12, RowGroups: 2, Rows: 30_000, ValueSize: 20})
	b.size = int64(len(data))
	var err error
	b.columns, err = formats.ReadColumns("f", b.size, strings.NewReader(string(data)))
	must(b.t, err)
	b.columns.Extents(func(name uint64) bool { b.names = append(b.names, name); return false })
	for i := range 24 {
		b.put(fmt.Sprintf("sales/day=%d/part-%d.parquet", i%7, i), data)
	}
	b.t.Logf("files of %d bytes, 12 columns, 2 row groups", b.size)
}

func (b *prefetchBench) put(key string, data []byte) {
	_, err := b.store.Client().PutObject(b.ctx, &awss3.PutObjectInput{Bucket: &b.store.Bucket, Key: &key, Body: strings.NewReader(string(data))})
	must(b.t, err)
}

// orcFiles has pyarrow write an ORC file, and puts it into the store 24 times.
func (b *prefetchBench) orcFiles(table string, rows, stripe int) {
	file := filepath.Join(b.t.TempDir(), table+".orc")
	stripes, err := harness.WriteORC(b.ctx, file, rows, stripe, b.t.Logf)
	must(b.t, err)
	data, err := os.ReadFile(file)
	must(b.t, err)
	for i := range 24 {
		b.put(fmt.Sprintf("%s/part-%02d.orc", table, i), data)
	}
	b.t.Logf("ORC files of %d bytes, 12 columns, %d stripes", len(data), stripes)
}

// orc has pyarrow read columns of a table's files through the door. Prefetched or not, it finds the same.
func (b *prefetchBench) orc(table string, columns ...string) {
	var keys []string
	for i := range 24 {
		keys = append(keys, fmt.Sprintf("%s/part-%02d.orc", table, i))
	}
	got, err := harness.ScanORC(b.ctx, b.alio.Door, b.alio.AccessKey, b.alio.SecretKey, "lake", columns, keys, b.t.Logf)
	must(b.t, err)
	b.took = got.Seconds
	if b.orcs == nil {
		b.orcs = map[string]string{}
	}
	if found := fmt.Sprint(got.Rows, got.Hash); b.orcs[table] == "" {
		b.orcs[table] = found
	} else if b.orcs[table] != found {
		b.t.Errorf("%s: %s, before %s", table, found, b.orcs[table])
	}
}

// tables puts tables that real writers wrote into the store.
func (b *prefetchBench) tables(names ...string) {
	root := "../formats/testdata/tables"
	for _, name := range names {
		must(b.t, filepath.WalkDir(filepath.Join(root, name), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			must(b.t, err)
			rel, err := filepath.Rel(root, path)
			must(b.t, err)
			b.put(filepath.ToSlash(rel), data)
			return nil
		}))
	}
}

// measure runs a scan three times, each on a sidecar that knows nothing.
func (b *prefetchBench) measure(name, mode, more string, scan func(*awss3.Client)) {
	b.t.Helper()
	var seconds []float64
	var summary s3proxy.Summary
	var m map[string]float64
	for range 3 {
		a, err := harness.StartAlio(b.ctx, harness.AlioOptions{Dir: b.t.TempDir(), Endpoint: b.proxy.URL(), Bucket: b.store.Bucket, Region: b.store.Region,
			AccessKey: b.store.AccessKey, SecretKey: b.store.SecretKey, ExtraYAML: "prefetch:\n  mode: " + mode + "\n" + more, Logf: func(string, ...any) {}})
		must(b.t, err)
		b.proxy.Reset()
		b.alio, b.took = a, 0
		begun := time.Now()
		scan(harness.S3Client(a.Door, a.Region, a.AccessKey, a.SecretKey))
		if b.took == 0 {
			b.took = time.Since(begun).Seconds()
		}
		seconds = append(seconds, b.took)
		_, summary, err = b.proxy.Take(b.ctx)
		must(b.t, err)
		m, err = a.Metrics(b.ctx)
		must(b.t, err)
		a.Stop()
	}
	mb := func(n float64) string { return fmt.Sprintf("%.2f", n/1e6) }
	wasted := m["alio_prefetch_pending_bytes"]
	for metric, n := range m {
		if strings.HasPrefix(metric, "alio_prefetch_wasted_bytes_total") {
			wasted += n
		}
	}
	b.t.Logf("| %s | %s | %.2f | %d | %d | %s | %s | %s |", name, mode, median(seconds), summary.DataGETs+summary.MetadataGETs, summary.HEADs+summary.NotFound,
		mb(float64(summary.BytesFetched)), mb(m["alio_prefetch_useful_bytes_total"]), mb(wasted))
}

func median(n []float64) float64 {
	a, b, c := n[0], n[1], n[2]
	return max(min(a, b), min(max(a, b), c))
}

func (b *prefetchBench) scan(c *awss3.Client, readers, files int, columns ...int) {
	b.scanFrom(c, readers, 0, files, columns...)
}

// scanFrom reads some columns of files, chunk after chunk in each, by so many readers at once.
func (b *prefetchBench) scanFrom(c *awss3.Client, readers, from, to int, columns ...int) {
	var chunks []formats.Extent
	for _, n := range columns {
		chunks = append(chunks, b.columns.Extents(func(name uint64) bool { return name == b.names[n] })...)
	}
	work := make(chan int)
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			for i := range work {
				key := fmt.Sprintf("sales/day=%d/part-%d.parquet", i%7, i)
				b.get(c, key, "bytes=-49152")
				for _, e := range chunks {
					b.get(c, key, fmt.Sprintf("bytes=%d-%d", e.Start, e.End-1))
				}
			}
		})
	}
	for i := from; i < to; i++ {
		work <- i
	}
	close(work)
	group.Wait()
}

// get reads a range of a file, or ("") all of it, and reports whether there is one.
func (b *prefetchBench) get(c *awss3.Client, key, bytes string) bool {
	in := &awss3.GetObjectInput{Bucket: aws.String("lake"), Key: &key}
	if bytes != "" {
		in.Range = &bytes
	}
	out, err := c.GetObject(b.ctx, in)
	if err != nil {
		if code(err) != "NoSuchKey" {
			b.t.Error(err)
		}
		return false
	}
	defer out.Body.Close()
	if _, err := io.Copy(io.Discard, out.Body); err != nil {
		b.t.Error(err)
	}
	return true
}

// delta reads a Delta log as its readers do: the pointer, the checkpoint's parts, then commits until there is none.
func (b *prefetchBench) delta(c *awss3.Client) {
	const log = "delta_multipart/_delta_log/"
	b.get(c, log+"_last_checkpoint", "")
	for part := 1; part <= 3; part++ {
		b.get(c, fmt.Sprintf("%s%020d.checkpoint.%010d.%010d.parquet", log, 6, part, 3), "")
	}
	for n := 7; b.get(c, fmt.Sprintf("%s%020d.json", log, n), ""); n++ {
	}
}

// iceberg reads what leads from a table's metadata to its data files.
func (b *prefetchBench) iceberg(c *awss3.Client) {
	for _, file := range []string{"v3.metadata.json", "snap-6747222143982828748-1-2a0005f4-3c37-45fc-abe3-77ebf660e31a.avro",
		"2a0005f4-3c37-45fc-abe3-77ebf660e31a-m0.avro", "5ad65307-cc15-434a-8b32-78b44bd54a15-m0.avro"} {
		b.get(c, "iceberg_hadoop/metadata/"+file, "")
	}
}
