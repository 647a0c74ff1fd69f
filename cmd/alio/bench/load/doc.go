// Package load makes the load of Alio's benchmarks: a data set whose every byte follows from its place, the ranges that readers ask for, readers over
// HTTP and over bare files, and the loop that times them. It knows nothing of the cache; "alio bench" and benchmarks/compare measure with the same
// parts, so that what they compare is never the client. Start at Measure, then Reader.
package load
