// Package iceberg knows the metadata files of an Apache Iceberg table: what a path is (Parse), and what each names next: a version hint its table
// metadata, table metadata the manifest list of the present snapshot, a manifest list its manifests. It is no Iceberg reader: it knows no
// schema and prunes nothing. The format is that of Iceberg's table specification, versions 1 to 3.
package iceberg
