package io.alio.hadoop;

import java.util.Objects;

/** What is known of a file's present version without the sidecar. */
public final class Known {
    /** Nothing is. */
    public static final Known NOTHING = new Known("", -1, "", "", 0, false);
    /** The file is not to be cached: it is still being written, encrypted, or no file; the file system behind opens it. */
    public static final Known UNCACHED = new Known("", -1, "", "", 0, true);

    private final String etag;
    private final long length;
    private final String kind;
    private final String version;
    private final long modifiedMillis;
    private final boolean uncached;

    private Known(String etag, long length, String kind, String version, long modifiedMillis, boolean uncached) {
        this.etag = Objects.requireNonNull(etag, "etag");
        this.length = length;
        this.kind = Objects.requireNonNull(kind, "kind");
        this.version = Objects.requireNonNull(version, "version");
        this.modifiedMillis = modifiedMillis;
        this.uncached = uncached;
    }

    /**
     * @param etag as the sidecar's origin spells it, quotes included; empty: not known
     * @param length in bytes; below 0: not known
     * @param kind what version is made of, for a file that the engine fills itself (etag, hdfs-blocks, length+mtime)
     * @param version equal versions of a kind mean equal bytes; empty: not known, the engine cannot fill the file
     */
    public static Known of(String etag, long length, String kind, String version) {
        return new Known(etag, length, kind, version, 0, false);
    }

    /**
     * What the engine's listing told of a file: no version, but enough to see that another is older.
     *
     * @param length in bytes; below 0: not told
     * @param modifiedMillis since 1970; 0: not told
     */
    public static Known listed(long length, long modifiedMillis) {
        return new Known("", length, "", "", modifiedMillis, false);
    }

    /** As the origin spells it; empty: not known. */
    public String etag() {
        return etag;
    }

    long length() {
        return length;
    }

    long modifiedMillis() {
        return modifiedMillis;
    }

    String kind() {
        return kind;
    }

    String version() {
        return version;
    }

    boolean uncached() {
        return uncached;
    }

    /** Whether the engine may fill the file: its version and length are known. */
    boolean fillable() {
        return !version.isEmpty() && length >= 0;
    }

    /** Whether the ETag is known to be this one. */
    public boolean is(String other) {
        return etag.equals(other);
    }

    /** Whether both name the same bytes. */
    public boolean same(Known o) {
        return !uncached && !o.uncached && length == o.length && etag.equals(o.etag) && kind.equals(o.kind) && version.equals(o.version);
    }
}
