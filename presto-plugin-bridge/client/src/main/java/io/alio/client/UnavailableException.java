package io.alio.client;

import java.io.IOException;

/** A read needs the sidecar, which does not have the bytes to give, and the caller gave no {@link OriginReader}. */
public final class UnavailableException extends IOException {
    private static final long serialVersionUID = 1;
    private final Unavailable reason;

    public UnavailableException(Unavailable reason, String message) {
        super(message);
        this.reason = reason;
    }

    public Unavailable reason() {
        return reason;
    }
}
