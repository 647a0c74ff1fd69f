package io.alio.client;

import io.alio.client.segment.Crc32c;
import io.alio.client.segment.Format;
import io.alio.client.transport.ProtocolException;
import io.alio.client.wire.ProtoWriter;
import io.alio.client.wire.Replies;
import io.alio.client.wire.Requests;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicLong;

/** Reads client-filled files, and puts what the sidecar lacks. */
final class Filler {
    private static final long RUN = 12 << 20; // bytes that are read from the origin, and held, at once: an engine's largest reads (8 MiB) with the pages at their ends
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
        for (Span m : Span.near(f.readLocalAgain(whole, s), Span.NEAR)) {
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

    /** What the sidecar has in memory by Read; the rest by the filler, in runs of which the granted pages are then put. */
    private void fill(AlioFile f, ByteBuffer p, Span s, Decoded got) throws IOException {
        for (long pos = s.from; pos < s.to; ) {
            if (Span.holds(got.memory, pos)) {
                long to = Math.min(s.to, nextBound(got, pos));
                if (remote(f, piece(p, s, pos, to), pos)) {
                    pos = to;
                    continue;
                }
            }
            Run run = runAt(got, s, pos);
            long to = Math.min(s.to, run.to);
            if (run.granted.isEmpty()) {
                byFiller(f, piece(p, s, pos, to), pos);
            } else {
                fillRun(f, piece(p, s, pos, to), pos, run, got);
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

    /** What is read from the origin in one request. It begins and ends with its granted pages, where those reach beyond what is wanted. */
    private static final class Run {
        long from;
        long to;
        final List<Decoded.Grant> granted = new ArrayList<>();
    }

    /**
     * The run at a position. Pages that others are filling are part of it, and so is the little that the sidecar has between two pages that it lacks: without
     * the sidecar all this would be one request.
     */
    private static Run runAt(Decoded got, Span s, long pos) {
        Run run = new Run();
        run.from = run.to = pos;
        for (long at = pos; at < s.to; ) {
            Decoded.Grant g = grantAt(got.granted, at);
            long end = g == null ? Math.min(s.to, nextBound(got, at)) : g.end();
            boolean first = run.to == pos;
            boolean there = !first && g == null && Span.holds(got.memory, at);
            if (!first && end - run.from > RUN || there && end - at > Span.NEAR) {
                break;
            }
            if (g != null) {
                run.from = Math.min(run.from, g.offset);
                run.granted.add(g);
            }
            if (!there) { // else only if more follows
                run.to = end;
            }
            at = end;
        }
        return run;
    }

    /** The granted page that holds a position; null: none does. */
    private static Decoded.Grant grantAt(List<Decoded.Grant> granted, long pos) {
        for (Decoded.Grant g : granted) {
            if (g.offset <= pos && pos < g.end()) {
                return g;
            }
        }
        return null;
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

    /** Reads a run from the origin, hands p what it wants of it, and puts the granted pages. */
    private void fillRun(AlioFile f, ByteBuffer p, long pos, Run run, Decoded got) throws IOException {
        byte[] b = new byte[(int) (run.to - run.from)];
        try {
            byFiller(f, ByteBuffer.wrap(b), run.from);
        } catch (IOException e) {
            later(() -> giveBack(f, got));
            throw e;
        }
        p.put(b, (int) (pos - run.from), p.remaining());
        put(f, run, b, got);
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
    private void put(AlioFile f, Run run, byte[] b, Decoded got) {
        boolean fits = waiting.addAndGet(b.length) <= client.options.putMemory();
        boolean begun = fits && got.claimToken != null && later(() -> {
            try {
                putAll(f, run, b, got);
            } finally {
                waiting.addAndGet(-b.length);
            }
        });
        if (!begun) {
            waiting.addAndGet(-b.length);
            client.counters.dropped.add(run.granted.size());
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

    /**
     * Puts a run's pages. The file's end goes first, where the run holds it: it may tell the sidecar how the file is cut. What is cut in another way than it was
     * claimed, whoever put the end, is claimed anew, once, and put from the same bytes: else the next reader would have to read it again.
     */
    private void putAll(AlioFile f, Run run, byte[] b, Decoded got) {
        int most;
        try {
            most = client.session.current(client.control.control).maxPut;
        } catch (Failure e) {
            client.counters.dropped.add(run.granted.size());
            return;
        }
        Deque<Decoded.Grant> left = new ArrayDeque<>(run.granted);
        Decoded claim = got;
        boolean endFirst = left.size() > 1 && left.getLast().end() == f.size();
        boolean outside = false; // something was granted that the run does not hold whole
        for (boolean anew = false; !left.isEmpty(); ) {
            List<Decoded.Grant> some = endFirst ? new ArrayList<>(Collections.singletonList(left.removeLast())) : firstOf(left, most);
            endFirst = false;
            List<ProtoWriter> pages = new ArrayList<>();
            for (Decoded.Grant g : some) {
                pages.add(page(g, b, (int) (g.offset - run.from)));
            }
            Stored o = putSome(f, pages, claim.claimToken, Math.min(claim.claimNanos, LONGEST_PUT), anew);
            if (o == Stored.CUT_OTHERWISE && !anew) {
                anew = true;
                claim = claimAnew(f, run, claim, left);
                outside = claim != got && left.size() < claim.granted.size();
            } else if (o != Stored.ALL) {
                client.counters.dropped.add(left.size() + (o == Stored.NONE || o == Stored.CUT_OTHERWISE ? some.size() : 0));
                giveBack(f, claim);
                return;
            }
        }
        if (outside) {
            giveBack(f, claim);
        }
        f.view().missing(run.from, run.to); // they have places soon
    }

    /** Takes pages of a list, as many as go into one Put. */
    private static List<Decoded.Grant> firstOf(Deque<Decoded.Grant> left, int most) {
        List<Decoded.Grant> some = new ArrayList<>();
        for (long size = 0; !left.isEmpty() && (size == 0 || size + left.getFirst().length <= most); ) {
            size += left.getFirst().length;
            some.add(left.removeFirst());
        }
        return some;
    }

    /** Claims what the sidecar lacks of a run as it is cut now; left becomes what was granted of that. */
    private Decoded claimAnew(AlioFile f, Run run, Decoded old, Deque<Decoded.Grant> left) {
        int before = left.size();
        left.clear();
        giveBack(f, old);
        Decoded now;
        try {
            now = claim(f, new Span(run.from, run.to));
        } catch (Failure e) {
            client.counters.dropped.add(before);
            return old;
        }
        for (Decoded.Grant g : now.granted) {
            if (g.offset >= run.from && g.end() <= run.to) {
                left.add(g);
            }
        }
        return now;
    }

    private void giveBack(AlioFile f, Decoded claim) {
        if (claim.claimToken != null) {
            putSome(f, Collections.emptyList(), claim.claimToken, LONGEST_PUT, false);
        }
    }

    /** What became of pages that were put. */
    private enum Stored {
        ALL,
        /** The file is cut in another way than was claimed; the pages may have been stored or not. */
        CUT_OTHERWISE,
        NONE,
    }

    /** Makes one Put. */
    private Stored putSome(AlioFile f, List<ProtoWriter> pages, byte[] token, long deadline, boolean warn) {
        AlioObject o = f.object();
        byte[] request = Requests.put(o.mount(), o.path(), AlioClient.wire(f.fill()), token == null ? new byte[0] : token, pages);
        try {
            Replies.Put got = Replies.Put.parse(client.control.call("Put", request, Control.Patience.of(deadline)));
            client.counters.stored.add(got.stored);
            return got.openAgain ? Stored.CUT_OTHERWISE : Stored.ALL;
        } catch (Failure | ProtocolException e) {
            Unavailable reason = e instanceof Failure ? ((Failure) e).reason() : null;
            boolean refused = reason == Unavailable.INVALID;
            if (!refused && reason != Unavailable.UNREACHABLE && reason != Unavailable.CLOSED || refused && warn) {
                warnings.warn("put", "the sidecar does not store what was read for it, " + o + ": " + e.getMessage());
            }
            return refused ? Stored.CUT_OTHERWISE : Stored.NONE;
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
