// Package ring says which members of a fleet own which section of which file: consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam,
// "Consistent Hashing with Bounded Loads", 2016) over a table of at least 20 partitions a member, with weights, zones, and several distinct owners in order.
// It is pure: no clock, no network, no disk, nothing of Alio's; the same epoch gives the same answer everywhere, and the same change to the same epoch gives the
// same next epoch. It is not the service that answers coordinators, nor does it know who is alive: affinity and affinity/membership do.
//
// An Epoch is the partition table itself with all else that changes an answer, and never changes. New makes the first, of no members; Epoch.Apply edits its table
// into the next one's and moves no more than the change asks for. A table without history cannot be both even and stable: rebuilding one from the member list
// was measured to move 1.4 % of the keys where 0.1 % had to. So epochs are published, never rebuilt: Epoch.Encode, Decode, Chunks and Join, and for those who hold
// the epoch before, Diff and Epoch.Patch. FORMAT.md draws the bytes and says how an owner is looked up, for other languages.
//
// Start at Epoch.Owners, then Epoch.Apply and edit.go. Package engines beside it has what Presto and Trino do by themselves, behind the same Placement.
package ring
