package io.alio.client;

import java.util.Objects;

/**
 * Has the caller read the origin, with the query's own credentials, and put what the sidecar lacks. The sidecar then needs no mount of that name, and asks
 * no origin. Pages are shared with clients of the same trust domain that name the same mount, path, kind, version and size: so the version must change
 * whenever the bytes may.
 */
public final class ClientFill {
    private final String kind;
    private final String version;
    private final long size;
    private final OriginReader filler;

    /**
     * @param kind what version is made of, such as "etag", "hdfs-blocks", "length+mtime": 1 to 32 of a-z, 0-9, '-', '+'
     * @param version of the file, 1 to 1,024 bytes: equal versions must mean equal bytes
     * @param size of the file in bytes
     * @param filler reads the file
     */
    public ClientFill(String kind, String version, long size, OriginReader filler) {
        if (!kind.matches("[a-z0-9+-]{1,32}")) {
            throw new IllegalArgumentException("fill kind \"" + kind + "\" is not 1 to 32 of a-z, 0-9, '-', '+'");
        }
        int bytes = version.getBytes(java.nio.charset.StandardCharsets.UTF_8).length;
        if (bytes < 1 || bytes > 1024) {
            throw new IllegalArgumentException("fill version of " + bytes + " bytes, not 1 to 1024");
        }
        if (size < 0) {
            throw new IllegalArgumentException("fill size " + size + " is negative");
        }
        this.kind = kind;
        this.version = version;
        this.size = size;
        this.filler = Objects.requireNonNull(filler, "filler");
    }

    public String kind() {
        return kind;
    }

    public String version() {
        return version;
    }

    public long size() {
        return size;
    }

    public OriginReader filler() {
        return filler;
    }
}
