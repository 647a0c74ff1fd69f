// Command record runs the TPC-DS queries of quickstart on a real Trino before a real S3 server, and writes what Trino asked the store for as a trace that benchmarks/sim reads (docs/sim.md has its columns).
//
//	go run ./benchmarks/sim/record > trace.csv
//
// It starts Trino (2 GB of memory, a minute or two) and measures nothing. Any other log of requests becomes a trace by the same few lines: see convert.
package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	out := bufio.NewWriter(os.Stdout)
	err := record(ctx, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

var (
	tables  = []string{"store_sales", "date_dim", "item", "store", "customer", "household_demographics"}
	queries = []string{"q03", "q28", "q34", "q43", "q52", "q55", "q65", "q70", "q98"}
)

// record starts what is needed, runs each query once, and writes the trace.
func record(ctx context.Context, out io.Writer) error {
	texts, err := harness.TPCDS(ctx, harness.Stderr)
	if err != nil {
		return err
	}
	s3, err := harness.StartS3(ctx, harness.S3Options{Logf: harness.Stderr})
	if err != nil {
		return err
	}
	defer s3.Stop()
	proxy, err := s3proxy.Start(s3proxy.Options{Target: s3.Endpoint})
	if err != nil {
		return err
	}
	defer proxy.Close()
	trino, err := harness.StartTrino(ctx, harness.TrinoOptions{Catalogs: map[string]map[string]string{"lake": harness.HiveCatalog(proxy.URL(), s3.Region, s3.AccessKey, s3.SecretKey)}, Logf: harness.Stderr})
	if err != nil {
		return err
	}
	defer trino.Stop()
	db, err := trino.DB("lake", "tiny")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := harness.CreateTables(ctx, db, "lake", s3.Bucket, tables, harness.Stderr); err != nil {
		return err
	}
	w, began := newWriter(out), time.Now()
	for _, name := range queries {
		proxy.Reset()
		if _, err := harness.Rows(ctx, db, harness.In(texts[name], "lake", "tiny")); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		entries, _, err := proxy.Take(ctx)
		if err != nil {
			return err
		}
		if err := convert(w, name, began, entries); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// newWriter begins a trace.
func newWriter(out io.Writer) *csv.Writer {
	w := csv.NewWriter(out)
	_ = w.Write([]string{"ms", "query", "mount", "path", "size", "offset", "length", "class"}) // Error tells
	return w
}

// convert writes the reads of one query: each successful GET of an object is a line.
func convert(w *csv.Writer, query string, began time.Time, entries []s3proxy.Entry) error {
	for _, e := range entries {
		if e.Method != "GET" || e.Key == "" || e.Length <= 0 || e.Kind == s3proxy.List {
			continue
		}
		n := func(v int64) string { return strconv.FormatInt(v, 10) }
		if err := w.Write([]string{n(e.Time.Sub(began).Milliseconds()), query, "lake", e.Key, n(e.Size), n(e.Offset), n(e.Length), string(e.Kind)}); err != nil {
			return err
		}
	}
	return nil
}
