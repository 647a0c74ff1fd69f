// Package avro reads the numbers and texts of an Avro object container file by the schema in its header, and steps over the rest: enough to find which files
// an Iceberg manifest list or a Hudi instant names. It is no Avro library: it resolves no schemas and builds no records. Memory and time are
// bounded, and no input makes it panic. Start at Read. The format is that of the Avro 1.12 specification.
package avro
