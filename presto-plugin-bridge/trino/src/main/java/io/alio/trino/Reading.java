package io.alio.trino;

import io.alio.client.AlioFile;
import io.alio.client.VersionChangedException;
import io.trino.filesystem.Location;
import java.io.Closeable;
import java.io.IOException;
import java.util.Optional;

/**
 * One opening of a file by Trino: the sidecar's file at one version, with Trino's own file system behind it. A file whose length Trino knows is opened with its first read: that tells
 * whether Trino wants all of it at once, as it does of small ones, by other measures for each format.
 */
final class Reading implements Closeable {
    /** Opens the file at the version that it has by now; empty if the sidecar cannot. */
    @FunctionalInterface
    interface Opener {
        Optional<AlioFile> open(boolean whole) throws IOException;
    }

    private final EngineReader engine;
    private final Opener opener;
    private final long known;        // the length, until the file is opened
    private Optional<AlioFile> file; // null: not opened yet; empty: Trino's own file system alone
    private boolean closed;
    private boolean returned;        // whether Trino has bytes of the version that is open

    Reading(EngineReader engine, Opener opener, AlioFile file) {
        this.engine = engine;
        this.opener = opener;
        this.known = file.size();
        this.file = Optional.of(file);
    }

    Reading(EngineReader engine, Opener opener, long length) {
        this.engine = engine;
        this.opener = opener;
        this.known = length;
    }

    Location location() {
        return engine.file().location();
    }

    synchronized long size() throws IOException {
        if (file == null) {
            return known;
        }
        return file.isPresent() ? file.get().size() : engine.file().length();
    }

    /** Reads min(length, size - position) bytes, -1 at the end or beyond it. */
    int read(long position, byte[] b, int offset, int length) throws IOException {
        Optional<AlioFile> f = open(position == 0 && length >= known);
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

    private synchronized Optional<AlioFile> open(boolean whole) throws IOException {
        if (file == null) {
            file = closed ? Optional.empty() : opener.open(whole);
        }
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
        file = opener.open(false);
    }

    @Override
    public synchronized void close() throws IOException {
        closed = true;
        if (file != null) {
            file.ifPresent(AlioFile::close);
        }
        engine.close();
    }
}
