package io.trino.spi.cache;

import java.io.Closeable;
import java.io.IOException;

/** Stand-in: reads the file by the real file system, with the credentials of the query. */
public interface BlobSource extends Closeable {
    long length() throws IOException;

    void readFully(long position, byte[] buffer, int offset, int length) throws IOException;
}
