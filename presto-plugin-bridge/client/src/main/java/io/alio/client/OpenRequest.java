package io.alio.client;

import java.util.Objects;

/** A file to open. */
public final class OpenRequest {
    private final String mount;
    private final String path;
    private final OpenHints hints;

    public OpenRequest(String mount, String path, OpenHints hints) {
        if (mount.isEmpty() || path.isEmpty()) {
            throw new IllegalArgumentException("mount \"" + mount + "\", path \"" + path + "\": give both");
        }
        this.mount = mount;
        this.path = path;
        this.hints = Objects.requireNonNull(hints, "hints");
    }

    public String mount() {
        return mount;
    }

    public String path() {
        return path;
    }

    public OpenHints hints() {
        return hints;
    }
}
