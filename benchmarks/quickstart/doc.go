// Package main is `make quickstart`: the main job on real servers, with numbers. It starts an S3 server, the measuring proxy, a
// sidecar and Trino, writes a few TPC-DS tables as Parquet, and runs each query three ways, in each of three rounds:
//
//   - straight: Trino reads the store, as without Alio;
//   - cold: through Alio with an empty cache, the sidecar restarted for it;
//   - warm: through Alio again.
//
// Each query is its own experiment, run once before it unmeasured so that the engine has compiled it. Rows are compared as
// multisets with the straight ones. What is counted and how is defined in itest/harness/s3proxy; each time is the median of the
// rounds. The last line is "RESULT " and JSON. The exit status is not zero if an answer differed, if a warm run asked the store
// for data, if a cold run made more data requests than the straight one, or if more than 1.10 times the bytes asked were fetched.
//
// Environment: KEEP=1 leaves everything running until Ctrl-C and prints the addresses; ALIO_QUICK=1 makes one round instead of
// three; ALIO_SEED sets the seed of the latency's jitter; ALIO_CACHE is where downloads lie. Flag -results DIR also writes the
// report into DIR. It is no load test: tables are tiny, and counts mean more than times.
package main
