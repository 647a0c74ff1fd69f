package io.alio.client;

/** Why the sidecar cannot serve a file. Whatever it is, the caller goes to its own file system, which has the last word. */
public enum Unavailable {
    /** The origin has no such file, or the mount is unknown to the sidecar's client fill. */
    NOT_FOUND,
    /** The sidecar, or the origin behind it, refuses this client; the engine's own credentials may do. */
    DENIED,
    /** The origin holds another version than the one that was asked for. */
    CHANGED,
    /** The sidecar has no such mount, or takes the request for senseless. */
    INVALID,
    /** The sidecar speaks another version of the protocol, or its origin cannot do this. */
    UNSUPPORTED,
    /** The sidecar did not answer in time, cannot be reached, or was not asked since it has not answered lately; or its origin is. */
    UNREACHABLE,
    /** The client was closed. */
    CLOSED,
}
