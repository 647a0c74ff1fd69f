/** Segment files: what lies where in them, and which sums must hold (docs/protocol.md, steps 5 and 6; cache/disk/FORMAT.md). Not for callers. */
package io.alio.client.segment;
