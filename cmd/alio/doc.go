// Command alio is Alio's one binary. Here and nowhere else are concrete origins, tiers and doors put together; the parts know each
// other by interfaces only. "alio sidecar" runs the cache beside a query worker, "alio version" says what was built. Start at
// main.go, then assemble.go, then run.go.
package main

//go:generate go test -run TestMetricsPageIsCurrent -update .
