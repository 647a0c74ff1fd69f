package io.alio.client.transport;

import java.io.IOException;

/** The other side does not speak as it should. The connection, or the call, is given up. */
public final class ProtocolException extends IOException {
    private static final long serialVersionUID = 1;

    public ProtocolException(String message) {
        super(message);
    }
}
