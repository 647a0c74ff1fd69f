// Package admin is the HTTP server for operators: metrics, health, readiness, status, mounts, reloads, a page that links them, and pprof
// if it is turned on. It serves no object's bytes and knows nothing of what it reports on: a gatherer, a readiness and a status function are handed
// in. Start at New.
package admin
