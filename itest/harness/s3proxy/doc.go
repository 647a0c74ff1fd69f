// Package s3proxy is the measuring proxy: an HTTP proxy that stands before an S3 endpoint, adds a stated first-byte latency,
// keeps a log of every request, and breaks requests by rule. The Host header and the path pass unchanged, so signatures stay
// good and the proxy needs no credentials.
//
// The requests of GCS, by its XML and its JSON API, are told apart and counted alike.
//
// Two uses, and the numbers of every table come from them:
//
//   - before the origin, with latency: what an engine or Alio asks of the store. Summarize counts it by kind.
//   - before a door, without latency, as the recorder of what an engine asks. Asked is the union of the ranges that arrived,
//     clamped to the object, for each object version. The straight way gets such a recorder too, so that the ways that are
//     compared differ only by Alio.
//
// Definitions: a data GET is a 200 or 206 on a data file, whatever its range; a footer is a data GET whose range reaches the
// object's end and leaves out its start; HEADs, LISTs, 404s and writes are counted apart; bytes fetched are body bytes of
// object GETs, as many as were passed on. It is not a load balancer and no S3 server: start at New, then Summarize.
package s3proxy
