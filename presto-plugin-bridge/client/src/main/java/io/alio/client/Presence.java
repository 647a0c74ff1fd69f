package io.alio.client;

import java.util.Objects;

/** What a name names at the origin: an object, or nothing. */
public final class Presence {
    static final Presence ABSENT = new Presence(null);

    private final AlioObject object; // null: nothing

    private Presence(AlioObject object) {
        this.object = object;
    }

    static Presence of(AlioObject object) {
        return new Presence(Objects.requireNonNull(object, "object"));
    }

    public boolean isThere() {
        return object != null;
    }

    /** @throws IllegalStateException if there is none */
    public AlioObject object() {
        if (object == null) {
            throw new IllegalStateException("there is no such object");
        }
        return object;
    }
}
