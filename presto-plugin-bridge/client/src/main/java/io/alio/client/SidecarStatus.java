package io.alio.client;

import java.util.Collections;
import java.util.List;

/** What the sidecar says of itself. */
public final class SidecarStatus {
    private final String build;
    private final List<String> mounts;

    SidecarStatus(String build, List<String> mounts) {
        this.build = build;
        this.mounts = Collections.unmodifiableList(mounts);
    }

    /** The sidecar's version, for people. */
    public String build() {
        return build;
    }

    /** The mounts that this client may see, sorted. */
    public List<String> mounts() {
        return mounts;
    }
}
