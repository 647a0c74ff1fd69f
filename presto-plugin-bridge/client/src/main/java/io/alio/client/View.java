package io.alio.client;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;

/** An object at one version and where its pages lie. It is shared by the files that opened it while it was fresh. */
final class View {
    /** Names a view; kind and version are those of client-filled files, else empty. */
    static final class Key {
        final String mount;
        final String path;
        final String kind;
        final String version;

        Key(String mount, String path, ClientFill fill) {
            this.mount = mount;
            this.path = path;
            this.kind = fill == null ? "" : fill.kind();
            this.version = fill == null ? "" : fill.version();
        }

        @Override
        public boolean equals(Object o) {
            return o instanceof Key && ((Key) o).path.equals(path) && ((Key) o).mount.equals(mount) && ((Key) o).kind.equals(kind) && ((Key) o).version.equals(version);
        }

        @Override
        public int hashCode() {
            return Objects.hash(mount, path, kind, version);
        }
    }

    static final long FOREVER = Long.MAX_VALUE;
    private static final long ASK_SPAN = 1 << 30; // how much of one range is asked for at once
    private static final long MAX_PATIENCE = 5_000_000_000L;
    private static final long BYTES = 600; // beside strings and table

    final Key key;
    final AlioObject object;
    /** How much of the object, from its start, may ever have places; beyond it lies what is still being written. */
    final long settled;

    volatile PageTable table;
    private volatile long confirmed; // System.nanoTime() when its version was asked for
    private volatile long freshFor; // nanoseconds from then; 0: only for that opening; FOREVER
    volatile boolean changed; // the origin holds another version

    private List<Span> missed = Collections.emptyList(); // that were read from the sidecar for want of a place
    private boolean asking; // a refresh is under way
    private boolean asked;
    private long askedAt;
    private long patience; // to the next one
    long charged; // bytes, under the lock of Views

    View(Key key, AlioObject object, long settled, PageTable table, long confirmed, long freshFor) {
        this.key = key;
        this.object = object;
        this.settled = settled;
        this.table = table;
        this.confirmed = confirmed;
        this.freshFor = freshFor;
    }

    long bytes() {
        return BYTES + table.bytes() + 2L * (key.mount.length() + 2 * key.path.length() + key.version.length() + object.version().length() + object.etag().length());
    }

    /** Whether it may be taken for the present version without asking, by a caller who knows etag to be the present one ("": it knows none). */
    boolean serves(String etag) {
        long freshFor = this.freshFor;
        boolean same = !etag.isEmpty() && etag.equals(object.etag());
        if (changed || freshFor == 0) {
            return false;
        }
        if (same) {
            return true;
        }
        return etag.isEmpty() && (freshFor == FOREVER || System.nanoTime() - confirmed < freshFor);
    }

    /** Takes over what a newer answer for the same version says of its freshness. */
    void confirm(View told) {
        confirmed = told.confirmed;
        freshFor = told.freshFor;
    }

    synchronized void update(PageTable told, List<Span> ranges, long limit) {
        table = table.merged(told, ranges, limit);
    }

    /** Remembers that a range was read from the sidecar, so that its pages' places are asked for when it is read again. */
    synchronized void missing(long from, long to) {
        long end = Math.min(to, settled);
        if (from < end) {
            missed = Span.add(missed, new Span(from, end));
        }
    }

    /** Remembers of which of the ranges asked for (none: all) an answer did not tell. */
    void untold(List<Span> ranges, List<Span> told) {
        if (object.version().isEmpty()) {
            return;
        }
        List<Span> all = ranges.isEmpty() ? Collections.singletonList(new Span(0, object.size())) : ranges;
        for (Span s : Span.without(all, told)) {
            missing(s.from, s.to);
        }
    }

    /**
     * The ranges to ask about, if it is time to ask where the pages of s are now; the caller then calls refreshed. null: it is not. Nothing is asked of a
     * range that is missed for the first time: Open has just said that it is not there.
     */
    synchronized List<Span> wantsRefresh(Span s, long least) {
        boolean hit = false;
        for (Span m : missed) {
            hit |= m.from < s.to && s.from < m.to;
        }
        if (!hit || asking || asked && System.nanoTime() - askedAt < Math.max(patience, least)) {
            return null;
        }
        List<Span> ask = new ArrayList<>();
        for (Span m : missed) {
            if (m.to - m.from > ASK_SPAN) { // from where the reader is
                long from = Math.max(m.from, Math.min(s.from, m.to - ASK_SPAN));
                ask.add(new Span(from, from + ASK_SPAN));
            } else {
                ask.add(m);
            }
        }
        asking = true;
        asked = true;
        askedAt = System.nanoTime();
        return ask;
    }

    /** Ends what wantsRefresh began. Where it brought no place, the next one waits twice as long. */
    synchronized void refreshed(List<Span> told, boolean brought, long least) {
        asking = false;
        if (!brought) {
            patience = Math.min(Math.max(2 * patience, 2 * least), MAX_PATIENCE);
            return;
        }
        patience = 0;
        missed = Span.without(missed, told);
    }
}
