/**
 * Hadoop file systems that read through the Alio sidecar. {@link io.alio.hadoop.AlioFileSystem} stands before any other file system: it opens and reads
 * files by the sidecar, leaves all else to that one, and goes back to it for whatever the sidecar cannot serve.
 *
 * <p>Of Hadoop only what 2.7 has is called, since that is what Presto carries; vectored reads are there for those versions that ask for them.
 */
package io.alio.hadoop;
