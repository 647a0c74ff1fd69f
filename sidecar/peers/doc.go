// Package peers lets the sidecars of a fleet read from one another: on a miss, the pages that the section's owner holds, before the origin; and what one
// of them was told of paths and listings. Peers is the asking half, behind sidecar.Peers; Server is the half that answers. Both sides show certificates.
// Nothing here can fail a read or make a byte wrong: what a peer sends is checked against the key that this sidecar has computed itself, and whoever does not
// answer in time is passed by. Start at Peers.Read and Server.Pages; docs/peers.md explains the whole.
package peers
