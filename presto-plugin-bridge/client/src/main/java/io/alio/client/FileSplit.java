package io.alio.client;

import java.util.Objects;

/** A piece of a file that an engine wants placed. It belongs to the section of the file in which it begins. */
public final class FileSplit {
    private final String mount;
    private final String path;
    private final long offset;
    private final long length;

    /**
     * @param path within the mount
     * @param offset where it begins in the file
     * @param length 0: not known
     */
    public FileSplit(String mount, String path, long offset, long length) {
        this.mount = Objects.requireNonNull(mount, "mount");
        this.path = Objects.requireNonNull(path, "path");
        this.offset = offset;
        this.length = length;
    }

    public String mount() {
        return mount;
    }

    public String path() {
        return path;
    }

    public long offset() {
        return offset;
    }

    public long length() {
        return length;
    }

    @Override
    public String toString() {
        return mount + ":" + path + "@" + offset;
    }
}
