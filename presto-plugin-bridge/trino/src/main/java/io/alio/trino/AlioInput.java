package io.alio.trino;

import io.trino.filesystem.TrinoInput;
import java.io.EOFException;
import java.io.IOException;
import java.util.Objects;

/** Positioned reads: Parquet and ORC. */
final class AlioInput implements TrinoInput {
    private final Reading reading;
    private volatile boolean closed;

    AlioInput(Reading reading) {
        this.reading = reading;
    }

    @Override
    public void readFully(long position, byte[] buffer, int offset, int length) throws IOException {
        check(buffer, offset, length);
        if (position < 0) {
            throw new IOException("negative position " + position + ": " + reading.location());
        }
        if (length > 0 && reading.read(position, buffer, offset, length) < length) {
            throw new EOFException("cannot read " + length + " bytes at " + position + " of a file of " + reading.size() + ": " + reading.location());
        }
    }

    @Override
    public int readTail(byte[] buffer, int offset, int length) throws IOException {
        check(buffer, offset, length);
        long size = reading.size();
        int n = (int) Math.min(length, size);
        readFully(size - n, buffer, offset, n);
        return n;
    }

    private void check(byte[] buffer, int offset, int length) throws IOException {
        Objects.checkFromIndexSize(offset, length, buffer.length);
        if (closed) {
            throw new IOException("closed: " + reading.location());
        }
    }

    @Override
    public void close() throws IOException {
        closed = true;
        reading.close();
    }

    @Override
    public String toString() {
        return reading.location().toString();
    }
}
