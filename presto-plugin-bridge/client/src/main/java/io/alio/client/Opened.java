package io.alio.client;

import java.util.Objects;

/** A file that was opened, or why not. */
public final class Opened {
    private final AlioFile file;
    private final Unavailable reason;
    private final String message;

    private Opened(AlioFile file, Unavailable reason, String message) {
        this.file = file;
        this.reason = reason;
        this.message = message;
    }

    static Opened of(AlioFile file) {
        return new Opened(Objects.requireNonNull(file, "file"), null, null);
    }

    static Opened unavailable(Unavailable reason, String message) {
        return new Opened(null, Objects.requireNonNull(reason, "reason"), message);
    }

    public boolean isAvailable() {
        return file != null;
    }

    /** The file; null if it is not available: then use the engine's own file system. */
    public AlioFile file() {
        return file;
    }

    /** Why not; null if it is available. */
    public Unavailable reason() {
        return reason;
    }

    /** The reason in words, with what may help; null if it is available. */
    public String message() {
        return message;
    }

    @Override
    public String toString() {
        return file != null ? file.toString() : reason + ": " + message;
    }
}
