// Package affinity is the service that tells who owns which section of which file: Assign in batches, Watch for those who look owners up themselves, Report for load; over gRPC, and as JSON over HTTP.
// It answers from the epoch of the ring that a Source holds in memory, so an answer never waits for etcd or for anybody, and may be of an epoch that another has just replaced. It is not the ring
// (affinity/ring) and knows no etcd (affinity/membership, which is a Source; so is affinity/follow, for who has neither etcd nor a sidecar).
//
// Start at Service.Assign.
package affinity
