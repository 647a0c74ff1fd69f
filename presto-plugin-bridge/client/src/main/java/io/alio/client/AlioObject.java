package io.alio.client;

import java.util.Objects;

/** A file at one version. */
public final class AlioObject {
    private final String mount;
    private final String path;
    private final String version;
    private final String etag;
    private final long size;
    private final long modifiedMillis;

    /**
     * @param version opaque; equal versions, equal bytes. Empty: the origin names none, and nothing of it is cached
     * @param etag as the origin spells it; may be empty
     * @param size in bytes
     * @param modifiedMillis since 1970, as the origin tells it; 0: not told
     */
    public AlioObject(String mount, String path, String version, String etag, long size, long modifiedMillis) {
        this.mount = Objects.requireNonNull(mount, "mount");
        this.path = Objects.requireNonNull(path, "path");
        this.version = Objects.requireNonNull(version, "version");
        this.etag = Objects.requireNonNull(etag, "etag");
        this.size = size;
        this.modifiedMillis = modifiedMillis;
    }

    public String mount() {
        return mount;
    }

    public String path() {
        return path;
    }

    /** Opaque; equal versions mean equal bytes. */
    public String version() {
        return version;
    }

    /** As the origin spells it, quotes included; may be empty. */
    public String etag() {
        return etag;
    }

    /** In bytes. */
    public long size() {
        return size;
    }

    /** Milliseconds since 1970, as the origin tells it; 0: not told. */
    public long modifiedMillis() {
        return modifiedMillis;
    }

    @Override
    public String toString() {
        return mount + "/" + path + " (" + size + " bytes, version " + version + ")";
    }
}
