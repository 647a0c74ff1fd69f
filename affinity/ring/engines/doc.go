// Package engines has the placements that engines use by themselves, written anew from what their sources do, to measure affinity/ring against: Presto's ring and
// Trino's tables. They are not for placing anything: none bounds a member's load, knows weights (they are ignored) or zones, or leaves an overloaded member out.
//
//   - Presto: prestodb/presto, presto-main-base/src/main/java/com/facebook/presto/execution/scheduler/ConsistentHashingNodeProvider.java (at commit e2a66ef9881d),
//     chosen by node-scheduler.node-selection-hash-strategy=CONSISTENT_HASHING; how many points a node has is in DefaultNodeSetSupplier and NodeSchedulerConfig beside it.
//   - Trino: trinodb/trino, core/trino-main/src/main/java/io/trino/execution/scheduler/StableHostAddressProvider.java (at commit 03dba3c96037: a table of 2,048 buckets;
//     in releases from 483 on). Another form of the same class, in a fork, computes a hash for each key and node, without a table: TrinoKeys.
//
// Start at NewPresto, NewTrinoTable and NewTrinoKeys. The tests compare them with what the real classes answered.
package engines
