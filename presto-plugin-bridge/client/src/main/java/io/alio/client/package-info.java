/**
 * Reads files through the sidecar on the same machine. Most bytes do not pass through the sidecar: it tells where an object's pages lie in its segment
 * files, and {@link io.alio.client.AlioFile} reads them there itself, checking every sum. What is not there, or does not hold, is asked of the
 * sidecar, and where that does not answer, of an {@link io.alio.client.OriginReader} that the caller gives: the engine's own file system.
 *
 * <p>docs/protocol.md is the protocol that it speaks. Start at {@link io.alio.client.AlioClient#create}, then {@link io.alio.client.AlioClient#open}
 * and {@link io.alio.client.AlioFile#read(long, byte[], int, int, io.alio.client.OriginReader)}. Public types outside this package are not for callers.
 */
package io.alio.client;
