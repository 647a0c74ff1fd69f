/**
 * Which members of a fleet own which section of which file: reads an epoch's bytes and looks owners up as affinity/ring/FORMAT.md in the repository says, and as Go does: both
 * pass the vectors of api/testdata/ring. It does not edit tables: an elected leader does, in Go. Start at {@link io.alio.client.ring.Ring}.
 */
package io.alio.client.ring;
