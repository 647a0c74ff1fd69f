// Command sim simulates a fleet of workers, each with a cache, that reads a lake through one trace, and tells what the origin is asked for: with no cache, with caches and no affinity, with the affinity that
// Presto and Trino have by themselves, with Alio's, and with Alio's peers, while workers come, go, restart and double, a zone is lost, or one file is read by all.
//
// It runs the real code where answers are decided: affinity/ring's tables, edited epoch by epoch by membership.Editor (who is absent, overloaded, hot), and cache/policy in each worker's cache. affinity/ring/engines
// has the engines' placements. What it does not run is what moves bytes: disks, networks, engines. Time is counted in ticks, one seed gives one report, byte for byte.
//
// It is no load test, and its seconds are a model's (docs/sim.md says which). Start at main, then cell.run, which is one fleet under one scenario and one mode.
//
//	go run ./benchmarks/sim -help
package main
