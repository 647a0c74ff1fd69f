/**
 * gRPC over HTTP/2 without TLS, as far as the sidecar's service needs it, on a Unix socket or TCP: one connection, one thread that reads it, calls that
 * wait on the caller's own thread. docs/design/0006-java-transport.md says why it is not grpc-java. It knows no message. Not for callers.
 */
package io.alio.client.transport;
