package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// PrestoHiveCatalog is a Hive catalog whose metastore is a folder on local disk, metastore. Tables that it creates lie in that
// folder, too; those elsewhere come by EnterPrestoTables. Catalogs may share the folder, and then see the same tables.
func PrestoHiveCatalog(metastore, endpoint, access, secret string) map[string]string {
	return map[string]string{
		"connector.name":                         "hive-hadoop2",
		"hive.metastore":                         "file",
		"hive.metastore.catalog.dir":             "file://" + metastore,
		"hive.compression-codec":                 "SNAPPY",
		"hive.storage-format":                    "PARQUET",
		"hive.allow-drop-table":                  "true",
		"hive.non-managed-table-writes-enabled":  "true",
		"hive.non-managed-table-creates-enabled": "true",
		"hive.s3.endpoint":                       endpoint,
		"hive.s3.path-style-access":              "true",
		"hive.s3.ssl.enabled":                    "false",
		"hive.s3.aws-access-key":                 access,
		"hive.s3.aws-secret-key":                 secret,
		"hive.s3.staging-directory":              filepath.Join(metastore, ".staging"),
	}
}

// CreatePrestoTables writes tables of the TPC-DS generator at scale "tiny" through a Hive catalog of local files, and reports each.
func CreatePrestoTables(ctx context.Context, p *Presto, catalog, schema string, tables []string, logf Logf) error {
	if _, err := p.Query(ctx, fmt.Sprintf("CREATE SCHEMA IF NOT EXISTS %s.%s", catalog, schema)); err != nil {
		return err
	}
	for _, table := range tables {
		begun := time.Now()
		name := fmt.Sprintf("%s.%s.%s", catalog, schema, table)
		rows, err := p.Query(ctx, fmt.Sprintf("CREATE TABLE %s AS SELECT * FROM tpcds.tiny.%s", name, table))
		if err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
		logf("  wrote %s: %v rows, %.1f s", name, rows, time.Since(begun).Seconds())
	}
	return nil
}

// PutPrestoTables copies the files of tables of one schema of a local metastore to S3, below prefix/<table>/ of the bucket.
func PutPrestoTables(ctx context.Context, metastore, schema string, c *s3.Client, bucket, prefix string, tables []string) error {
	for _, table := range tables {
		source := filepath.Join(metastore, schema, table)
		entries, err := os.ReadDir(source)
		if err != nil {
			return err
		}
		files := 0
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") {
				continue // the metastore's own, and checksums
			}
			data, err := os.ReadFile(filepath.Join(source, e.Name()))
			if err != nil {
				return err
			}
			key := path.Join(prefix, table, e.Name())
			if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data)}); err != nil {
				return fmt.Errorf("put %s: %w", key, err)
			}
			files++
		}
		if files == 0 {
			return fmt.Errorf("%s holds no data file", source)
		}
	}
	return nil
}

// EnterPrestoTables enters tables of one schema of a local metastore into another one, which exists, as external tables whose files
// lie below location/<table>. Presto's file metastore cannot do it itself: it takes a table's location for a local path.
func EnterPrestoTables(metastore, from, to, location string, tables []string) error {
	for _, table := range tables {
		if err := enterTable(filepath.Join(metastore, from, table), filepath.Join(metastore, to, table), location+"/"+table, nil); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
	}
	return nil
}

// EnterHudiTable enters a copied-on-write table of Hudi's at a location into a schema, which exists. Template is a table of the metastore with its columns and partitions; a
// partition's files lie in the folder of its value, as Hudi has them where it is not told otherwise.
func EnterHudiTable(metastore, template, to, location string) error {
	format := map[string]string{"serDe": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
		"inputFormat": "org.apache.hudi.hadoop.HoodieParquetInputFormat", "outputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"}
	source, target := filepath.Join(metastore, template), filepath.Join(metastore, to)
	if err := enterTable(source, target, location, format); err != nil {
		return err
	}
	partitions, err := filepath.Glob(filepath.Join(source, "*=*"))
	if err != nil || len(partitions) == 0 {
		return fmt.Errorf("partitions %q of %s: %w", partitions, template, err)
	}
	for _, p := range partitions {
		name := filepath.Base(p)
		_, value, _ := strings.Cut(name, "=")
		err := editEntry(p, filepath.Join(target, name), func(entry map[string]any) error {
			entry["externalLocation"], entry["storageFormat"] = location+"/"+value, format
			return nil
		})
		if err != nil {
			return fmt.Errorf("partition %s of %s: %w", name, template, err)
		}
	}
	return nil
}

// enterTable copies a table's entry of a file metastore to another folder, as an external table at a location and of a storage format (nil: the same).
func enterTable(source, target, location string, format map[string]string) error {
	err := editEntry(source, target, func(table map[string]any) error {
		parameters, _ := table["parameters"].(map[string]any)
		if parameters == nil {
			return errors.New("the metastore's entry has no parameters")
		}
		parameters["EXTERNAL"] = "TRUE"
		table["tableType"], table["externalLocation"] = "EXTERNAL_TABLE", location
		if format != nil {
			table["storageFormat"] = format
		}
		return nil
	})
	if err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(target, ".prestoPermissions"), os.DirFS(filepath.Join(source, ".prestoPermissions")))
}

// editEntry copies an entry of a file metastore, a table's or a partition's, to another folder, and changes it.
func editEntry(source, target string, edit func(map[string]any) error) error {
	text, err := os.ReadFile(filepath.Join(source, ".prestoSchema"))
	if err != nil {
		return err
	}
	var entry map[string]any
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	if err := in.Decode(&entry); err != nil {
		return fmt.Errorf("the metastore's entry: %w", err)
	}
	if err := edit(entry); err != nil {
		return err
	}
	if text, err = json.Marshal(entry); err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(target, ".prestoSchema"), text, 0o644)
}

// PrestoThroughAlio is a catalog as PrestoHiveCatalog makes it, whose files are read by the bridge: what an operator changes, the catalog's
// hive.s3 lines moved into a core-site file, which is written at path, and the bridge's own.
func PrestoThroughAlio(catalog map[string]string, path string, bridge map[string]string) (map[string]string, error) {
	out := map[string]string{"hive.s3-file-system-type": "HADOOP_DEFAULT", "hive.config.resources": path}
	site := map[string]string{"fs.hdfs.impl": "io.alio.presto.AlioFileSystem"}
	for _, scheme := range []string{"s3", "s3a", "s3n"} {
		site["fs."+scheme+".impl"] = "io.alio.presto.AlioS3FileSystem"
	}
	for name, value := range catalog {
		if strings.HasPrefix(name, "hive.s3.") {
			site[name] = value
		} else {
			out[name] = value
		}
	}
	maps.Copy(site, bridge)
	return out, writeSite(path, site)
}

// writeSite writes a configuration file of Hadoop's.
func writeSite(path string, properties map[string]string) error {
	type property struct {
		Name  string `xml:"name"`
		Value string `xml:"value"`
	}
	var site struct {
		XMLName    xml.Name   `xml:"configuration"`
		Properties []property `xml:"property"`
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		site.Properties = append(site.Properties, property{name, properties[name]})
	}
	text, err := xml.MarshalIndent(site, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
