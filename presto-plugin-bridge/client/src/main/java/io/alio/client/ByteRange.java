package io.alio.client;

/** {@code length} bytes from {@code offset}; a length of 0 is to the end. */
public final class ByteRange {
    private final long offset;
    private final long length;

    public ByteRange(long offset, long length) {
        if (offset < 0 || length < 0 || offset + length < 0) {
            throw new IllegalArgumentException("range of " + length + " bytes at " + offset);
        }
        this.offset = offset;
        this.length = length;
    }

    public long offset() {
        return offset;
    }

    public long length() {
        return length;
    }
}
