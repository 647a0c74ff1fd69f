// Package fleet reads files through the sidecars of a fleet, for a process that has none beside it. It watches the ring, asks for each section of a file the
// member that owns it, then who stands by, and at last an OriginReader that the caller may give. So what such processes read is kept where the engines' splits
// of the same files run, and the origin is read once.
//
// Start at New, Fleet.Run and Fleet.Open.
package fleet
