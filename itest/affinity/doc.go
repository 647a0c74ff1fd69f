// Package affinity tests the affinity service against real processes: an etcd cluster whose nodes are killed one after another, and sidecars of this checkout that are killed, stopped and started.
// The ring and the service alone are tested where they are; here is what only shows between processes. Start at TestEtcdDies and TestSidecars.
package affinity
