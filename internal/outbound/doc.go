// Package outbound is what the origins that speak HTTP share: a transport with a pool as large as the concurrency it is meant for,
// deadlines on a body that stalls, bodies that are exactly the bytes that an answer announced, and the headers that all of them
// read alike. It knows nothing of any storage system and sends no request by itself. Start at NewTransport, then Exactly.
package outbound
