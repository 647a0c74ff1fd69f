package io.alio.trino;

import io.alio.client.AlioFile;
import io.alio.client.VersionChangedException;
import io.trino.filesystem.Location;
import java.io.Closeable;
import java.io.IOException;
import java.util.Optional;

/** One opening of a file by Trino: the sidecar's file at one version, with Trino's own file system behind it. */
final class Reading implements Closeable {
    /** Opens the file anew, at the version that it has by now; empty if the sidecar cannot. */
    @FunctionalInterface
    interface Again {
        Optional<AlioFile> open() throws IOException;
    }

    private final EngineReader engine;
    private final Again again;
    private Optional<AlioFile> file; // empty: Trino's own file system alone
    private boolean returned;        // whether Trino has bytes of the version that is open

    Reading(AlioFile file, EngineReader engine, Again again) {
        this.file = Optional.of(file);
        this.engine = engine;
        this.again = again;
    }

    Location location() {
        return engine.file().location();
    }

    long size() throws IOException {
        Optional<AlioFile> f = open();
        return f.isPresent() ? f.get().size() : engine.file().length();
    }

    /** Reads min(length, size - position) bytes, -1 at the end or beyond it. */
    int read(long position, byte[] b, int offset, int length) throws IOException {
        Optional<AlioFile> f = open();
        if (f.isPresent()) {
            try {
                int n = f.get().read(position, b, offset, length, engine);
                setReturned();
                return n;
            } catch (VersionChangedException e) {
                reopen(e);
                return read(position, b, offset, length);
            }
        }
        long left = engine.file().length() - position;
        if (left <= 0) {
            return length == 0 ? 0 : -1;
        }
        int n = (int) Math.min(length, left);
        engine.readFully(null, position, b, offset, n);
        return n;
    }

    private synchronized Optional<AlioFile> open() {
        return file;
    }

    private synchronized void setReturned() {
        returned = true;
    }

    /** Goes on at the new version, once, if Trino has nothing of the old one; else the read fails: two versions in one answer would be wrong rows. */
    private synchronized void reopen(VersionChangedException e) throws IOException {
        if (returned) {
            throw new IOException(location() + " was overwritten while it was read; run the query again", e);
        }
        file.ifPresent(AlioFile::close);
        returned = true; // what changes twice in one read fails
        file = again.open();
    }

    @Override
    public synchronized void close() throws IOException {
        file.ifPresent(AlioFile::close);
        engine.close();
    }
}
