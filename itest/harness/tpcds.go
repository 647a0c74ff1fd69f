package harness

import (
	"archive/zip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// TPCDS are the texts of the TPC-DS queries by name (q03, q14_1, ...), with ${database} and ${schema} where the catalog and the
// schema belong. They are read from presto-benchto-benchmarks at run time and are never part of this repository.
func TPCDS(ctx context.Context, logf Logf) (map[string]string, error) {
	a, err := LookupArtifact("com.facebook.presto", "presto-benchto-benchmarks")
	if err != nil {
		return nil, err
	}
	path, err := Fetch(ctx, a, logf)
	if err != nil {
		return nil, err
	}
	jar, err := zip.OpenReader(path)
	if err != nil {
		return nil, err
	}
	defer jar.Close()
	texts := map[string]string{}
	for _, f := range jar.File {
		name, ok := strings.CutPrefix(f.Name, "sql/presto/tpcds/")
		if name, ok2 := strings.CutSuffix(name, ".sql"); ok && ok2 {
			r, err := f.Open()
			if err != nil {
				return nil, err
			}
			b, err := io.ReadAll(io.LimitReader(r, 1<<20))
			_ = r.Close()
			if err != nil {
				return nil, fmt.Errorf("%s in %s: %w", f.Name, a.File(), err)
			}
			texts[name] = strings.TrimRight(strings.TrimSpace(string(b)), ";")
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s holds no sql/presto/tpcds/*.sql", a.File())
	}
	return texts, nil
}

// In puts a catalog and a schema into a query text.
func In(text, catalog, schema string) string {
	return strings.NewReplacer("${database}", catalog, "${schema}", schema).Replace(text)
}

// CreateTables writes tables of the TPC-DS generator at scale "tiny" through a Hive catalog, as Parquet below
// s3://bucket/tables/, and reports each. They are external: a managed table of a file metastore on local disk is written to the
// store and then read back as empty, without an error.
func CreateTables(ctx context.Context, db *sql.DB, catalog, bucket string, tables []string, logf Logf) error {
	exec := func(statement string) error {
		_, err := Rows(ctx, db, statement)
		if err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		return nil
	}
	if err := exec(fmt.Sprintf("CREATE SCHEMA IF NOT EXISTS %s.tiny", catalog)); err != nil {
		return err
	}
	for _, table := range tables {
		begun := time.Now()
		name := fmt.Sprintf("%s.tiny.%s", catalog, table)
		if err := exec(fmt.Sprintf("CREATE TABLE %s WITH (format = 'PARQUET', external_location = 's3://%s/tables/%s') AS SELECT * FROM tpcds.tiny.%s",
			name, bucket, table, table)); err != nil {
			return err
		}
		want, err := Rows(ctx, db, "SELECT count(*) FROM tpcds.tiny."+table)
		if err != nil {
			return err
		}
		got, err := Rows(ctx, db, "SELECT count(*) FROM "+name)
		if err != nil {
			return err
		}
		if !slices.Equal(want, got) {
			return fmt.Errorf("%s holds %v rows, the generator %v", name, got, want)
		}
		logf("  wrote %s: %s rows, %.1f s", name, got[0], time.Since(begun).Seconds())
	}
	return nil
}
