package io.alio.client;

import java.io.IOException;

/** The origin holds another version of the file than the one that was opened: open it again. Bytes of the two are never mixed. */
public final class VersionChangedException extends IOException {
    private static final long serialVersionUID = 1;

    public VersionChangedException(String message) {
        super(message);
    }
}
