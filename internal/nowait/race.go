//go:build race

package nowait

// raceDetector is whether it is at work: it takes what was read for ordered after what was written before, if package syscall does the reading.
const raceDetector = true
