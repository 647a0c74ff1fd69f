/**
 * Trino 476 reads through the sidecar: connectors {@code alio_hive}, {@code alio_delta_lake}, {@code alio_hudi} and {@code alio_iceberg}, which are Trino's own
 * with Trino's hook for a cache of file reads bound to the sidecar ({@link io.alio.trino.AlioFileSystemCache}), and with splits that run where the affinity service says
 * ({@link io.alio.trino.Placement}). Tables, locations, credentials and writes stay as they are.
 *
 * <p>It is tied to one release of Trino, since the connectors' constructors change with nearly every one; each factory checks that at the start. It is not a
 * cache: what is kept, and for how long it is believed, is the sidecar's business. Start at {@link io.alio.trino.AlioModule}.
 */
package io.alio.trino;
