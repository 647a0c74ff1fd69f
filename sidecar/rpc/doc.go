// Package rpc is the gRPC door: api/v1 on a Unix socket and on TCP. It tells clients where resident pages lie so that they can read the
// segments themselves, sends those that they cannot read, takes pages that they have read from the origin with their own credentials, and
// says who may do any of it. It knows no origin and keeps no pages: those are the sidecar's and the cache's. Start at New, then
// service.Open; docs/protocol.md is the client's side.
package rpc
