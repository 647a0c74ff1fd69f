package io.alio.client;

import io.alio.client.transport.ProtocolException;
import io.alio.client.wire.ReadSink;
import io.alio.client.wire.Requests;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * An open file at one version. All methods may be called in parallel. Every byte it returns is of that version and was checked, or came from the sidecar
 * or an {@link OriginReader}, which answer for theirs.
 */
public final class AlioFile implements Closeable {
    private static final long MOST_AT_ONCE = 8 << 20; // of one Read call, so that what came counts when the rest does not come

    private final AlioClient client;
    private final View view;
    private final ClientFill fill;
    private final String tag;
    private volatile boolean closed;

    AlioFile(AlioClient client, View view, ClientFill fill, String tag) {
        this.client = client;
        this.view = view;
        this.fill = fill;
        this.tag = tag;
    }

    /** What is known of the file. */
    public AlioObject object() {
        return view.object;
    }

    /** The file's size in bytes. */
    public long size() {
        return view.object.size();
    }

    /** The version that the file is of. */
    public String version() {
        return view.object.version();
    }

    /**
     * Reads length bytes at position, or as many as there are to the file's end. A read whose pages lie in open segments makes no call to the sidecar.
     *
     * @param fallback reads what the sidecar cannot serve, on this thread; null: there is no other way
     * @return how many bytes were read: less than length only at the end; -1 at or beyond it
     * @throws VersionChangedException if the origin holds another version, and the sidecar has not kept the bytes: open the file again
     * @throws UnavailableException if there is no other way
     * @throws IOException what fallback, or a client-filled file's filler, throws
     */
    public int read(long position, byte[] b, int offset, int length, OriginReader fallback) throws IOException {
        return read(position, ByteBuffer.wrap(b, offset, length), fallback);
    }

    /** The same into a buffer: all that remains of dst is filled, and its position moved by what was read. On an exception it is where it was. */
    public int read(long position, ByteBuffer dst, OriginReader fallback) throws IOException {
        if (position < 0) {
            throw new IllegalArgumentException("position " + position);
        }
        if (!dst.hasRemaining()) {
            return 0;
        }
        long size = size();
        if (position >= size) {
            return -1;
        }
        int n = (int) Math.min(dst.remaining(), size - position);
        ByteBuffer p = dst.duplicate();
        long base = position - p.position(); // what lies at i of p belongs to base + i
        List<Span> misses = readLocal(p, base, position, position + n);
        if (!misses.isEmpty()) {
            readMisses(p, base, misses, fallback);
        }
        dst.position(dst.position() + n);
        return n;
    }

    private static ByteBuffer piece(ByteBuffer p, long base, long from, long to) {
        ByteBuffer d = p.duplicate();
        d.limit((int) (to - base)).position((int) (from - base));
        return d;
    }

    /** Reads what lies in segments, and moves p's position and limit about. The answer is what does not, in as few spans as can be. */
    private List<Span> readLocal(ByteBuffer p, long base, long from, long to) {
        if (closed || client.control.isClosed()) {
            return Collections.singletonList(new Span(from, to));
        }
        PageTable t = view.table;
        List<Span> misses = null;
        long pos = from;
        for (int i = t.from(from); pos < to; i++) {
            long offset = i == t.count ? to : t.offset(i);
            if (offset >= to) {
                return miss(misses, pos, to);
            }
            if (offset > pos) {
                misses = miss(misses, pos, offset);
                pos = offset;
            }
            long end = Math.min(to, offset + t.length(i));
            p.limit((int) (end - base)).position((int) (pos - base));
            Outcome o = client.local.read(t, i, p, (int) (pos - offset));
            client.counters.page(o, end - pos);
            if (o == Outcome.SERVED) {
                client.touches.add(t, i);
            } else {
                misses = miss(misses, pos, end);
            }
            pos = end;
        }
        return misses == null ? Collections.emptyList() : misses;
    }

    private static List<Span> miss(List<Span> list, long from, long to) {
        List<Span> out = list == null ? new ArrayList<>(2) : list;
        Span.append(out, from, to);
        return out;
    }

    private void readMisses(ByteBuffer p, long base, List<Span> misses, OriginReader fallback) throws IOException {
        List<Span> left = misses;
        if (fill == null && !closed) {
            List<Span> ask = view.wantsRefresh(misses.get(0), client.options.refreshNanos());
            if (ask != null && client.refresh(view, null, ask, tag)) {
                left = new ArrayList<>();
                for (Span m : misses) {
                    for (Span s : readLocal(p, base, m.from, m.to)) {
                        Span.append(left, s.from, s.to);
                    }
                }
            }
        }
        for (Span m : Span.near(left, Span.NEAR)) {
            if (fill != null) {
                client.filler.read(this, piece(p, base, m.from, m.to), m);
            } else {
                fetch(piece(p, base, m.from, m.to), m, fallback);
            }
        }
    }

    /** Reads a span from the sidecar, or by the fallback if that does not have it to give. */
    private void fetch(ByteBuffer p, Span s, OriginReader fallback) throws IOException {
        Failure failure = null;
        for (long pos = s.from; pos < s.to; ) {
            long to = Math.min(s.to, pos + MOST_AT_ONCE);
            try {
                if (failure == null) {
                    remote(piece(p.slice(), s.from, pos, to), pos, fallback == null ? client.control.onlyWay : client.control.origin);
                    view.missing(pos, to);
                    pos = to;
                    continue;
                }
            } catch (Failure e) {
                failure = e;
            }
            if (failure.reason() == Unavailable.CHANGED) {
                view.changed = true;
                client.views.drop(view);
                throw new VersionChangedException(view.object + ": " + failure.getMessage());
            }
            if (fallback == null) {
                throw new UnavailableException(failure.reason(), "read " + view.object + ": " + failure.getMessage());
            }
            readOrigin(fallback, piece(p.slice(), s.from, pos, s.to), pos);
            client.counters.bypassedReads.increment();
            client.counters.bypassedBytes.add(s.to - pos);
            return;
        }
    }

    /** Has an origin reader fill p. */
    void readOrigin(OriginReader reader, ByteBuffer p, long position) throws IOException {
        int n = p.remaining();
        if (p.hasArray()) {
            reader.readFully(view.object, position, p.array(), p.arrayOffset() + p.position(), n);
            return;
        }
        byte[] b = new byte[n];
        reader.readFully(view.object, position, b, 0, n);
        p.put(b);
    }

    /** Fills p from position, at the file's version, through the sidecar. */
    void remote(ByteBuffer p, long position, Control.Patience patience) throws Failure {
        if (closed) {
            throw new Failure(Unavailable.CLOSED, "the file is closed");
        }
        int n = p.remaining();
        AlioObject o = view.object;
        boolean[] changed = {false};
        ReadSink sink = new ReadSink(p, (got, offset, length) -> {
            if (got == null) {
                throw new ProtocolException("the sidecar did not say what it reads");
            }
            changed[0] = fill == null && !got.version.equals(o.version()) || got.size != o.size();
            if (changed[0] || offset != position || length != n) {
                throw new ProtocolException("the sidecar sends " + length + " bytes at " + offset + " of version " + got.version + ", not " + n + " at " + position);
            }
        });
        String version = fill == null ? o.version() : "";
        String etag = fill == null ? o.etag() : "";
        try {
            client.control.call("Read", Requests.read(o.mount(), o.path(), version, etag, position, n, AlioClient.wire(fill), tag), sink, patience);
        } catch (Failure e) {
            throw changed[0] ? new Failure(Unavailable.CHANGED, e.getMessage()) : e;
        }
        client.counters.sidecarReads.increment();
        client.counters.sidecarBytes.add(n);
    }

    View view() {
        return view;
    }

    ClientFill fill() {
        return fill;
    }

    String tag() {
        return tag;
    }

    /** Reads pages again of which a new answer has told; the answer is what is still missing. */
    List<Span> readLocalAgain(ByteBuffer p, Span s) {
        return readLocal(p.slice(), s.from, s.from, s.to);
    }

    /** Ends the use of the file; reads under way finish, later ones go to the caller's reader. It is safe twice. */
    @Override
    public void close() {
        closed = true;
    }

    @Override
    public String toString() {
        return view.object.toString();
    }
}
