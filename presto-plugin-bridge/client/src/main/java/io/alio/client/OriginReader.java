package io.alio.client;

import java.io.IOException;

/** Reads an object from its origin without the sidecar: by the engine's own file system. It may be called in parallel. */
@FunctionalInterface
public interface OriginReader {
    /**
     * Fills b from {@code position} of the object, or throws: a {@link VersionChangedException} if it can tell that the origin holds another version than
     * object's now. b must not be kept.
     */
    void readFully(AlioObject object, long position, byte[] b, int offset, int length) throws IOException;
}
