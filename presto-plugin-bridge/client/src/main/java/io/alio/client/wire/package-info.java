/** The messages of api/v1/alio.proto that the client uses, in protobuf's form, by hand: so that an answer for 65,536 pages is no object each. Not for callers. */
package io.alio.client.wire;
