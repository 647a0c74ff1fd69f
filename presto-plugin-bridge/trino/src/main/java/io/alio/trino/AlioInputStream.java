package io.alio.trino;

import io.trino.filesystem.TrinoInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.util.Objects;

/**
 * A stream: text, JSON, Avro, the logs of table formats. Its readers take small pieces, and each of ours costs at least a checked block of 64 KiB, so it
 * reads ahead: 256 KiB at first, twice as much each time that the reader arrives at the end of it, up to 2 MiB. Trino does not count that memory. Not for several threads.
 */
final class AlioInputStream extends TrinoInputStream {
    private static final int FIRST = 256 << 10;
    private static final int MOST = 2 << 20;

    private final Reading reading;
    private long position;
    private byte[] ahead = new byte[0];
    private long start;   // of ahead in the file
    private int length;   // of what ahead holds
    private int window = FIRST;
    private boolean closed;

    AlioInputStream(Reading reading) {
        this.reading = reading;
    }

    @Override
    public long getPosition() {
        return position;
    }

    @Override
    public void seek(long to) throws IOException {
        ensureOpen();
        if (to < 0) {
            throw new IOException("negative position " + to + ": " + reading.location());
        }
        if (to > reading.size()) {
            throw new EOFException("cannot seek to " + to + " of a file of " + reading.size() + ": " + reading.location());
        }
        position = to;
    }

    @Override
    public int read() throws IOException {
        ensureOpen();
        if (buffered() == 0 && fetch() < 0) {
            return -1;
        }
        return ahead[(int) (position++ - start)] & 0xff;
    }

    @Override
    public int read(byte[] b, int offset, int count) throws IOException {
        ensureOpen();
        Objects.checkFromIndexSize(offset, count, b.length);
        if (count == 0) {
            return 0;
        }
        if (buffered() == 0 && count >= MOST) {
            int n = reading.read(position, b, offset, count);
            position += Math.max(n, 0);
            return n;
        }
        if (buffered() == 0 && fetch() < 0) {
            return -1;
        }
        int n = Math.min(count, buffered());
        System.arraycopy(ahead, (int) (position - start), b, offset, n);
        position += n;
        return n;
    }

    @Override
    public long skip(long count) throws IOException {
        ensureOpen();
        long n = Math.max(0, Math.min(count, reading.size() - position));
        position += n;
        return n;
    }

    @Override
    public int available() throws IOException {
        ensureOpen();
        return buffered();
    }

    private int buffered() {
        return position >= start && position < start + length ? (int) (start + length - position) : 0;
    }

    /** Reads ahead from the position; the number of bytes, or -1 at the end. */
    private int fetch() throws IOException {
        window = length > 0 && position == start + length ? Math.min(2 * window, MOST) : FIRST;
        int want = (int) Math.min(window, reading.size() - position);
        if (want <= 0) {
            return -1;
        }
        if (ahead.length < want) {
            ahead = new byte[want];
        }
        length = 0; // should the read fail
        int n = reading.read(position, ahead, 0, want);
        start = position;
        length = Math.max(n, 0);
        return n;
    }

    private void ensureOpen() throws IOException {
        if (closed) {
            throw new IOException("closed: " + reading.location());
        }
    }

    @Override
    public void close() throws IOException {
        closed = true;
        ahead = new byte[0];
        length = 0;
        reading.close();
    }
}
