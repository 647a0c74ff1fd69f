package io.alio.client;

import java.util.Objects;

/** A file that was opened, or why not. */
public final class Opened {
    private final AlioFile file;
    private final Unavailable reason;
    private final String message;
    private final boolean absent;

    private Opened(AlioFile file, Unavailable reason, String message, boolean absent) {
        this.file = file;
        this.reason = reason;
        this.message = message;
        this.absent = absent;
    }

    static Opened of(AlioFile file) {
        return new Opened(Objects.requireNonNull(file, "file"), null, null, false);
    }

    static Opened unavailable(Unavailable reason, String message, boolean absent) {
        return new Opened(null, Objects.requireNonNull(reason, "reason"), message, absent);
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

    /**
     * Whether the origin has no such file, by its own answer to a question that was sent after this opening began: what the engine's own file system would be told too, if
     * the sidecar's mount is the place that it reads. Never because of what was heard before, whatever the sidecar's rules allow.
     */
    public boolean isAbsent() {
        return absent;
    }

    @Override
    public String toString() {
        return file != null ? file.toString() : reason + ": " + message;
    }
}
