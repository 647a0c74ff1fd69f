package io.alio.client;

import io.alio.client.segment.Crc32c;
import io.alio.client.segment.Format;
import io.alio.client.transport.ProtocolException;
import io.alio.client.wire.ProtoWriter;
import io.alio.client.wire.Replies;
import io.alio.client.wire.Requests;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicLong;

/** Reads client-filled files, and puts what the sidecar lacks. */
final class Filler {
    private static final long ROW = 4 << 20; // of granted pages that are read from the origin, and held, at once
    private static final long LONGEST_PUT = 5_000_000_000L;

    private final AlioClient client;
    private final Executor background;
    private final Warnings warnings;
    private final AtomicLong waiting = new AtomicLong(); // bytes of pages to be put

    Filler(AlioClient client, Executor background, Warnings warnings) {
        this.client = client;
        this.warnings = warnings;
        this.background = background;
    }

    /**
     * Fills p from the span s of a file, which was not there locally. It asks where the pages are and for the right to fill those that nobody has. Pages that
     * another client is filling are read from the origin without waiting for that client, which may be slow or dead: no read takes longer than without a cache.
     */
    void read(AlioFile f, ByteBuffer p, Span s) throws IOException {
        Decoded got;
        try {
            got = claim(f, s);
        } catch (Failure e) {
            byFiller(f, p, s.from);
            return;
        }
        ByteBuffer whole = p.slice();
        for (Span m : f.readLocalAgain(whole, s)) {
            fill(f, piece(whole, s, m.from, m.to), m, got);
        }
    }

    private static ByteBuffer piece(ByteBuffer p, Span s, long from, long to) {
        ByteBuffer d = p.duplicate();
        d.limit((int) (to - s.from)).position((int) (from - s.from));
        return d.slice();
    }

    private Decoded claim(AlioFile f, Span s) throws Failure {
        View v = f.view();
        client.session.current(client.control.control);
        OpenHints hints = OpenHints.NONE.withFill(f.fill()).withRanges(AlioClient.byteRanges(Collections.singletonList(s)));
        OpenRequest r = new OpenRequest(v.object.mount(), v.object.path(), hints);
        AlioClient.Answer a = client.ask(Collections.singletonList(r), true, f.tag(), client.control.control).get(0); // no origin is asked
        if (a.failure != null) {
            throw a.failure;
        }
        if (a.decoded.object.size() != v.object.size()) {
            throw new Failure(Unavailable.INVALID, "the sidecar takes it for " + a.decoded.object.size() + " bytes, not " + v.object.size());
        }
        v.update(a.decoded.table, a.decoded.told, client.views.tableLimit());
        client.views.refreshed(v);
        a.decoded.granted.sort(Comparator.comparingLong(g -> g.offset));
        return a.decoded;
    }

    /** Rows of granted pages by the filler, which are then put; what the sidecar has in memory by Read; the rest by the filler alone. */
    private void fill(AlioFile f, ByteBuffer p, Span s, Decoded got) throws IOException {
        for (long pos = s.from; pos < s.to; ) {
            List<Decoded.Grant> row = rowAt(got.granted, pos);
            long to = row.isEmpty() ? Math.min(s.to, nextBound(got, pos)) : Math.min(s.to, row.get(row.size() - 1).end());
            ByteBuffer q = piece(p, s, pos, to);
            if (!row.isEmpty()) {
                fillRow(f, q, pos, row, got);
            } else if (!Span.holds(got.memory, pos) || !remote(f, q.duplicate(), pos)) {
                byFiller(f, q, pos);
            }
            pos = to;
        }
    }

    private boolean remote(AlioFile f, ByteBuffer p, long position) {
        try {
            f.remote(p, position, client.control.origin);
            return true;
        } catch (Failure e) {
            return false;
        }
    }

    /** The granted page that holds a position and those that follow it without a gap, up to a row's bytes. */
    private static List<Decoded.Grant> rowAt(List<Decoded.Grant> granted, long pos) {
        int i = 0;
        while (i < granted.size() && granted.get(i).end() <= pos) {
            i++;
        }
        if (i == granted.size() || granted.get(i).offset > pos) {
            return Collections.emptyList();
        }
        int n = i + 1;
        long bytes = granted.get(i).length;
        while (n < granted.size() && granted.get(n).offset == granted.get(n - 1).end() && bytes + granted.get(n).length <= ROW) {
            bytes += granted.get(n++).length;
        }
        return granted.subList(i, n);
    }

    /** Where, after pos, granted pages or pages in memory begin or end. */
    private static long nextBound(Decoded got, long pos) {
        long next = Long.MAX_VALUE;
        for (Decoded.Grant g : got.granted) {
            next = bound(next, pos, g.offset, g.end());
        }
        for (Span m : got.memory) {
            next = bound(next, pos, m.from, m.to);
        }
        return next;
    }

    private static long bound(long next, long pos, long from, long to) {
        long out = from > pos ? Math.min(next, from) : next;
        return to > pos ? Math.min(out, to) : out;
    }

    /** Reads whole pages from the origin, hands p what it wants of them, and puts them. */
    private void fillRow(AlioFile f, ByteBuffer p, long pos, List<Decoded.Grant> row, Decoded got) throws IOException {
        long start = row.get(0).offset;
        byte[] b = new byte[(int) (row.get(row.size() - 1).end() - start)];
        try {
            byFiller(f, ByteBuffer.wrap(b), start);
        } catch (IOException e) {
            later(() -> putSome(f, Collections.emptyList(), 0, got.claimToken, LONGEST_PUT));
            throw e;
        }
        p.put(b, (int) (pos - start), p.remaining());
        put(f, row, b, got);
    }

    private void byFiller(AlioFile f, ByteBuffer p, long position) throws IOException {
        int n = p.remaining();
        f.readOrigin(f.fill().filler(), p, position);
        client.counters.filledBytes.add(n);
    }

    /**
     * Gives the sidecar pages, in the background: the reader has its bytes already. What does not fit the memory for that is dropped; the claim on it runs out,
     * since giving it back would take it from what is still on its way.
     */
    private void put(AlioFile f, List<Decoded.Grant> row, byte[] b, Decoded got) {
        boolean fits = waiting.addAndGet(b.length) <= client.options.putMemory();
        List<Decoded.Grant> pages = new ArrayList<>(row);
        boolean begun = fits && got.claimToken != null && later(() -> {
            try {
                putAll(f, pages, b, got);
            } finally {
                waiting.addAndGet(-b.length);
            }
        });
        if (!begun) {
            waiting.addAndGet(-b.length);
            client.counters.dropped.add(row.size());
        }
    }

    private boolean later(Runnable work) {
        try {
            background.execute(work);
            return true;
        } catch (RejectedExecutionException e) { // the client is closed
            return false;
        }
    }

    private void putAll(AlioFile f, List<Decoded.Grant> row, byte[] b, Decoded got) {
        int most;
        try {
            most = client.session.current(client.control.control).maxPut;
        } catch (Failure e) {
            client.counters.dropped.add(row.size());
            return;
        }
        long start = row.get(0).offset;
        for (int i = 0; i < row.size(); ) {
            List<ProtoWriter> pages = new ArrayList<>();
            for (long size = 0; i < row.size() && (size == 0 || size + row.get(i).length <= most); i++) {
                pages.add(page(row.get(i), b, (int) (row.get(i).offset - start)));
                size += row.get(i).length;
            }
            if (!putSome(f, pages, pages.size(), got.claimToken, Math.min(got.claimNanos, LONGEST_PUT))) {
                if (i < row.size()) {
                    client.counters.dropped.add(row.size() - i);
                    putSome(f, Collections.emptyList(), 0, got.claimToken, LONGEST_PUT);
                }
                return;
            }
        }
        f.view().missing(start, start + b.length); // they have places soon
    }

    /** Makes one Put. False: the rest of the claim is of no use any more. */
    private boolean putSome(AlioFile f, List<ProtoWriter> pages, int count, byte[] token, long deadline) {
        AlioObject o = f.object();
        byte[] request = Requests.put(o.mount(), o.path(), AlioClient.wire(f.fill()), token == null ? new byte[0] : token, pages);
        try {
            Replies.Put got = Replies.Put.parse(client.control.call("Put", request, Control.Patience.of(deadline)));
            client.counters.stored.add(got.stored);
            return !got.openAgain;
        } catch (Failure | ProtocolException e) {
            client.counters.dropped.add(count);
            if (e instanceof Failure && ((Failure) e).reason() != Unavailable.UNREACHABLE && ((Failure) e).reason() != Unavailable.CLOSED) {
                warnings.warn("put", "the sidecar does not store what was read for it, " + o + ": " + e.getMessage());
            }
            return false;
        }
    }

    private static ProtoWriter page(Decoded.Grant g, byte[] b, int from) {
        int[] sums = new int[Format.blocks(g.length)];
        Crc32c crc = Crc32c.create();
        for (int i = 0; i < sums.length; i++) {
            crc.reset();
            crc.update(g.key, 0, Format.KEY);
            int at = i * Format.BLOCK;
            crc.update(b, from + at, Math.min(Format.BLOCK, g.length - at));
            sums[i] = crc.value();
        }
        return Requests.putPage(g.offset, g.key, sums, b, from, g.length);
    }
}
