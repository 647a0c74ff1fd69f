// Package affinity tests the affinity service against real processes: an etcd cluster whose nodes are killed, and sidecars of this checkout.
package affinity
