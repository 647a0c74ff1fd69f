package io.alio.client.ring;

import java.io.IOException;

/** Bytes are no epoch, or no difference from the epoch at hand. Whoever holds an older epoch keeps it. */
public final class InvalidRingException extends IOException {
    public InvalidRingException(String message) {
        super("ring: corrupt: " + message);
    }
}
