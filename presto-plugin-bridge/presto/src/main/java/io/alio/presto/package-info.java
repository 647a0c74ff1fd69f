/**
 * Presto's Hive, Delta and Hudi connectors read through the Alio sidecar: {@link io.alio.presto.AlioS3FileSystem} for s3, s3a and s3n,
 * {@link io.alio.presto.AlioFileSystem} for hdfs and any other. docs/presto.md tells how they are put in.
 */
package io.alio.presto;
