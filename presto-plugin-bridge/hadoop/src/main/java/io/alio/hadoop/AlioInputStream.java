package io.alio.hadoop;

import io.alio.client.AlioFile;
import io.alio.client.AlioObject;
import io.alio.client.VersionChangedException;
import java.io.EOFException;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.function.IntFunction;
import org.apache.hadoop.fs.ByteBufferReadable;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSInputStream;
import org.apache.hadoop.fs.FileSystem;

/**
 * Reads a file through the sidecar. Reads at a position may be made in parallel, as Hadoop asks for. What the sidecar cannot serve comes from the file
 * system behind, where the file is opened when that is first needed.
 *
 * <p>A file that turns out to have changed is opened again, if none of it was returned yet; else the read fails, as one of mixed versions would be wrong.
 */
final class AlioInputStream extends FSInputStream implements ByteBufferReadable {
    private static final int LEAST_BUFFER = 32 << 10; // for reads of a few bytes one after the other; made with the first such read

    private final Opener opener;
    private final URI name;
    private final Mounts.Place place;
    private final Behind behind;
    private final FileSystem.Statistics statistics;
    private final int bufferSize;

    private volatile Known first; // what was known of a file that is opened with the first read; null: that has been done
    private volatile Opener.At at; // null, and first too: the file is read at the file system behind
    private volatile boolean returned; // any of it
    private volatile boolean closed;
    private final Object opening = new Object();
    private FSDataInputStream original; // guarded by opening; of the file system behind

    private long pos;
    private byte[] buffer;
    private long bufferAt;
    private int buffered;

    AlioInputStream(Opener opener, URI name, Mounts.Place place, Behind behind, int bufferSize, FileSystem.Statistics statistics) {
        this.opener = opener;
        this.name = name;
        this.place = place;
        this.behind = behind;
        this.statistics = statistics;
        this.bufferSize = Math.max(bufferSize, LEAST_BUFFER);
    }

    /** Opens the file at the sidecar; false: that cannot serve it, and this stream is of no use. */
    boolean begin(Known known) throws IOException {
        at = opener.atSidecar(name, place, known, false, behind, this::fromOrigin);
        return at != null;
    }

    /** Has the file opened at the sidecar with its first read, which tells whether all of it is wanted at once. */
    AlioInputStream later(Known known) {
        first = known;
        return this;
    }

    private synchronized void openWith(long position, long length) throws IOException {
        Known known = first;
        if (known == null) {
            return;
        }
        Opener.At opened = opener.atSidecar(name, place, known, position == 0 && length >= known.length(), behind, this::fromOrigin);
        at = opened;
        first = null;
        if (closed && opened != null) {
            opened.file.close();
        }
    }

    /** The length, below 0 if the file is read at the file system behind. */
    private long size() {
        Known known = first;
        if (known != null) {
            return known.length();
        }
        Opener.At now = at;
        return now == null ? -1 : now.file.size();
    }

    private FSDataInputStream original() throws IOException {
        synchronized (opening) {
            if (closed) {
                throw new IOException("Stream is closed: " + name);
            }
            if (original == null) {
                original = behind.open();
            }
            return original;
        }
    }

    /** What the sidecar's client calls for what it cannot serve, or fills. */
    private void fromOrigin(AlioObject object, long position, byte[] b, int offset, int length) throws IOException {
        opener.counters().bypassedReads.increment();
        behind.readFully(original(), at.known, object, position, b, offset, length);
        opener.counters().bypassedBytes.add(length);
    }

    private interface Reading {
        /** How many bytes were read, -1 at the end. */
        int from(AlioFile file) throws IOException;
    }

    /** Reads from the file at the sidecar, and once more if it was found to have changed; null: it is not read there. */
    private Integer reading(long position, long length, Reading r) throws IOException {
        for (int i = 0;; i++) {
            checkOpen();
            if (first != null) {
                openWith(position, length);
            }
            Opener.At now = at;
            if (now == null) {
                return null;
            }
            try {
                int n = r.from(now.file);
                if (n > 0) {
                    returned = true;
                    count(n);
                }
                return n;
            } catch (VersionChangedException e) {
                changed(now, e, i);
            }
        }
    }

    private synchronized void changed(Opener.At was, VersionChangedException e, int tries) throws IOException {
        if (at != was) {
            return; // another thread has seen it too
        }
        opener.counters().changed.increment();
        if (returned || tries > 2) {
            throw new IOException(name + " was replaced while it was read: run the query again", e);
        }
        synchronized (opening) {
            if (original != null) {
                original.close();
                original = null;
            }
        }
        buffered = 0;
        Known known = behind.known();
        at = known.uncached() ? null : opener.atSidecar(name, place, known, false, behind, this::fromOrigin);
    }

    private void count(int n) {
        opener.counters().readBytes.add(n);
        if (statistics != null) {
            statistics.incrementBytesRead(n);
        }
    }

    private void checkOpen() throws IOException {
        if (closed) {
            throw new IOException("Stream is closed: " + name);
        }
    }

    private static void checkArguments(long position, byte[] b, int offset, int length) throws EOFException {
        if (b == null) {
            throw new IllegalArgumentException("no buffer");
        }
        if (position < 0) {
            throw new EOFException("position " + position + " is negative");
        }
        if (offset < 0 || length < 0 || length > b.length - offset) {
            throw new IndexOutOfBoundsException(length + " bytes at " + offset + " of a buffer of " + b.length);
        }
    }

    @Override
    public int read(long position, byte[] b, int offset, int length) throws IOException {
        checkOpen();
        checkArguments(position, b, offset, length);
        if (length == 0) {
            return 0;
        }
        Integer n = reading(position, length, f -> f.read(position, b, offset, length, this::fromOrigin));
        return n != null ? n : original().read(position, b, offset, length);
    }

    @Override
    public void readFully(long position, byte[] b, int offset, int length) throws IOException {
        checkOpen();
        checkArguments(position, b, offset, length);
        for (int done = 0; done < length; ) {
            int n = read(position + done, b, offset + done, length - done);
            if (n <= 0) {
                throw new EOFException("end of " + name + " after " + done + " of " + length + " bytes at " + position);
            }
            done += n;
        }
    }

    @Override
    public void readFully(long position, byte[] b) throws IOException {
        readFully(position, b, 0, b.length);
    }

    int readAt(long position, ByteBuffer dst) throws IOException {
        Integer n = reading(position, dst.remaining(), f -> f.read(position, dst, this::fromOrigin));
        if (n != null) {
            return n;
        }
        byte[] b = new byte[dst.remaining()];
        int m = original().read(position, b, 0, b.length);
        dst.put(b, 0, Math.max(0, m));
        return m;
    }

    /** Called by Hadoop 3.3.5 and later; the types that it speaks of are not there before. */
    public void readVectored(List<? extends org.apache.hadoop.fs.FileRange> ranges, IntFunction<ByteBuffer> allocate) throws IOException {
        checkOpen();
        Vectored.read(this, size(), ranges, allocate);
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public synchronized int read(byte[] b, int offset, int length) throws IOException {
        checkOpen();
        checkArguments(pos, b, offset, length);
        if (length == 0) {
            return 0;
        }
        if (first != null) {
            openWith(pos, Math.max(length, bufferSize));
        }
        int n;
        if (at == null) { // as a stream, which the file system behind may read ahead for
            FSDataInputStream in = original();
            if (in.getPos() != pos) {
                in.seek(pos);
            }
            n = in.read(b, offset, length);
        } else if (length >= bufferSize) {
            n = read(pos, b, offset, length);
        } else {
            if (pos < bufferAt || pos >= bufferAt + buffered) {
                fill();
            }
            n = Math.min(length, (int) (bufferAt + buffered - pos));
            if (n <= 0) {
                return -1;
            }
            System.arraycopy(buffer, (int) (pos - bufferAt), b, offset, n);
        }
        pos += Math.max(0, n);
        return n;
    }

    private void fill() throws IOException {
        if (buffer == null) {
            buffer = new byte[bufferSize];
        }
        buffered = 0;
        int n = read(pos, buffer, 0, bufferSize);
        bufferAt = pos;
        buffered = Math.max(0, n);
    }

    @Override
    public synchronized int read(ByteBuffer dst) throws IOException {
        checkOpen();
        if (!dst.hasRemaining()) {
            return 0;
        }
        int n = readAt(pos, dst);
        pos += Math.max(0, n);
        return n;
    }

    @Override
    public synchronized long skip(long n) throws IOException {
        checkOpen();
        long size = size();
        if (size < 0) {
            return super.skip(n);
        }
        long to = Math.max(pos, Math.min(size, pos + Math.max(0, n)));
        long skipped = to - pos;
        pos = to;
        return skipped;
    }

    @Override
    public synchronized int available() throws IOException {
        checkOpen();
        long size = size();
        return size < 0 ? 0 : (int) Math.max(0, Math.min(Integer.MAX_VALUE, size - pos));
    }

    @Override
    public synchronized void seek(long to) throws IOException {
        checkOpen();
        long size = size();
        if (to < 0) {
            throw new EOFException("Cannot seek to a negative offset: " + to);
        }
        if (size >= 0 && to > size) {
            throw new EOFException("Cannot seek after EOF: " + to + " of " + size + " bytes in " + name);
        }
        pos = to;
    }

    @Override
    public synchronized long getPos() throws IOException {
        checkOpen();
        return pos;
    }

    @Override
    public boolean seekToNewSource(long to) {
        return false;
    }

    @Override
    public void close() throws IOException {
        synchronized (opening) {
            if (closed) {
                return;
            }
            closed = true;
            Opener.At now = at;
            if (now != null) {
                now.file.close();
            }
            if (original != null) {
                original.close();
            }
        }
    }

    @Override
    public String toString() {
        return "AlioInputStream[" + name + "]";
    }
}
