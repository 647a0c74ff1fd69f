package io.trino.spi.cache;

import java.io.Closeable;
import java.io.IOException;

/** Stand-in. */
public interface Blob extends Closeable {
    long length();

    void readFully(long position, byte[] buffer, int offset, int length) throws IOException;
}
