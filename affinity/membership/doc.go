// Package membership keeps a fleet's members and its ring's epochs in etcd: each member announces itself under a lease, an elected leader edits the epoch of the ring when members come,
// go or change, publishes it in chunks with its hash, and everybody follows. It is not the ring (affinity/ring places keys) nor the service that answers coordinators.
//
// What is in etcd is needed for changes only. While etcd is away the last epoch stays in force; it is on disk too, so that a member that starts without etcd has it. When etcd comes back, even
// empty, members announce themselves again, and a leader goes on from the epoch that it holds.
//
// Start at New and Node.Run. StartEmbedded runs an etcd inside the process, for a fleet that has none.
package membership
