//go:build race

package nowait

import "syscall"

// raceDetector is whether it is at work: it takes what was read for ordered after what was written before, if package syscall does the reading
// and the writing.
const raceDetector = true

// written tells the race detector of a write that package syscall did not do: it notes a write before it makes one, and this one writes nothing.
func written() { _, _ = syscall.Write(-1, nil) }
