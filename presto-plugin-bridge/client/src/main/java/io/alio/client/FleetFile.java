package io.alio.client;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** An open file at one version, whichever members its bytes come from. All methods may be called in parallel. */
public final class FleetFile implements Closeable {
    /** Stands for the caller's own way while a member is asked, so that nobody waits for one that is silent: then the next one is asked. */
    private static final OriginReader SILENT = (object, position, b, offset, length) -> {
        throw new UnavailableException(Unavailable.UNREACHABLE, "it could not be asked, or did not answer");
    };

    private final FleetClient fleet;
    private final AlioObject object;
    private final Map<FleetClient.Member, AlioFile> at = new ConcurrentHashMap<>();
    private volatile boolean closed;

    FleetFile(FleetClient fleet, FleetClient.Member first, AlioFile file) {
        this.fleet = fleet;
        this.object = file.object();
        at.put(first, file);
    }

    /** What is known of the file. */
    public AlioObject object() {
        return object;
    }

    /** The file's size in bytes. */
    public long size() {
        return object.size();
    }

    /**
     * Reads length bytes at position, or as many as there are to the file's end. Every byte is of the version that the file was opened at.
     *
     * @param fallback reads what no owner can give, on this thread; null: there is no other way
     * @return how many bytes were read: less than length only at the end; -1 at or beyond it
     * @throws VersionChangedException if a member has another version by now: open the file again
     * @throws UnavailableException if there is no other way
     * @throws IOException what fallback throws
     */
    public int read(long position, byte[] b, int offset, int length, OriginReader fallback) throws IOException {
        if (position < 0) {
            throw new IllegalArgumentException("position " + position);
        }
        if (closed) {
            throw new UnavailableException(Unavailable.CLOSED, "the file is closed");
        }
        if (length == 0) {
            return 0;
        }
        if (position >= size()) {
            return -1;
        }
        int all = (int) Math.min(length, size() - position);
        for (int n = 0; n < all; ) {
            long section = fleet.sectionSize();
            int piece = (int) Math.min(all - n, section - (position + n) % section);
            section(position + n, b, offset + n, piece, fallback);
            n += piece;
        }
        return all;
    }

    /** Reads what lies in one section. */
    private void section(long position, byte[] b, int offset, int length, OriginReader fallback) throws IOException {
        try {
            fleet.each(object.mount(), object.path(), position, m -> of(m).read(position, ByteBuffer.wrap(b, offset, length), SILENT));
        } catch (UnavailableException e) {
            if (fallback == null || !FleetClient.elsewhere(e.reason())) {
                throw e;
            }
            fallback.readFully(object, position, b, offset, length);
            fleet.readByFallback();
        }
    }

    /** The file as a member has it, at the version that this one is of. */
    private AlioFile of(FleetClient.Member m) throws IOException {
        AlioFile got = at.get(m);
        if (got != null) {
            return got;
        }
        got = fleet.file(m, object.mount(), object.path(), FleetClient.hints(object.etag()));
        AlioObject o = got.object();
        if (!o.version().equals(object.version()) || o.size() != object.size() || !o.etag().equals(object.etag()) || o.version().isEmpty() && o.modifiedMillis() != object.modifiedMillis()) {
            throw new VersionChangedException("\"" + object.path() + "\" in \"" + object.mount() + "\": it was opened at " + object + ", and " + m.address + " has " + o + ": open it again");
        }
        at.put(m, got);
        return got;
    }

    /** Reads that are under way finish. It is safe twice. */
    @Override
    public void close() {
        closed = true;
        at.clear();
    }

    @Override
    public String toString() {
        return object.toString();
    }
}
