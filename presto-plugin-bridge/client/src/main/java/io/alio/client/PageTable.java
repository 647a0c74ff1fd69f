package io.alio.client;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * Where an object's pages lie, as far as the client knows: what is not in it is asked of the sidecar. Its pages are in order and do not overlap. It does not
 * change but for places that are voided, touches that are counted, and when a page was read last. It holds no object for a page, and what it knows of one lies
 * together: a page that was not read for a while costs two or three misses of the processor's cache, not one for each thing known.
 */
final class PageTable {
    static final int PAGE_BYTES = 44;
    private static final int SEGMENT_BYTES = 8;

    // In longs, WIDE for each page:
    private static final int WIDE = 3;
    private static final int OFFSET = 0; // in the object
    private static final int KEY_LOW = 1;
    private static final int KEY_HIGH = 2;

    // In ints, NARROW for each page:
    private static final int NARROW = 5;
    private static final int LENGTH = 0;
    private static final int SEGMENT = 1; // its number
    private static final int RECORD = 2; // where its record starts, in units of 64 bytes; 0: nowhere any more
    private static final int LAST_READ = 3; // when its bytes were read here last, as LocalReader has it; 0: never. A hint: it may be written by many at once
    private static final int TOUCHES = 4; // reads that were not told yet

    static final PageTable EMPTY = new Builder(0).build();

    final int count;
    private final long[] wide;
    private final AtomicIntegerArray narrow;
    private final Segment[] segments;
    private final long first; // offset
    private final double each; // pages for each byte, as if all were of one length

    private PageTable(Builder b) {
        count = b.count;
        wide = Arrays.copyOf(b.wide, WIDE * count);
        narrow = new AtomicIntegerArray(Arrays.copyOf(b.narrow, NARROW * count));
        segments = b.segments.toArray(new Segment[0]);
        first = count == 0 ? 0 : offset(0);
        each = count < 2 ? 0 : (count - 1) / (double) (offset(count - 1) - first);
    }

    long offset(int i) {
        return wide[WIDE * i + OFFSET];
    }

    int length(int i) {
        return narrow.get(NARROW * i + LENGTH);
    }

    long end(int i) {
        return offset(i) + length(i);
    }

    long keyLow(int i) {
        return wide[WIDE * i + KEY_LOW];
    }

    long keyHigh(int i) {
        return wide[WIDE * i + KEY_HIGH];
    }

    Segment segment(int i) {
        return segments[narrow.get(NARROW * i + SEGMENT)];
    }

    /** Where the page's record starts in its segment, in bytes; 0: it has no place any more. */
    long record(int i) {
        return (narrow.get(NARROW * i + RECORD) & 0xffffffffL) * 64;
    }

    /** Takes the place away. */
    void voidPlace(int i) {
        narrow.set(NARROW * i + RECORD, 0);
    }

    /** When it was read here last, as LocalReader has it; 0: never. */
    int lastRead(int i) {
        return narrow.get(NARROW * i + LAST_READ);
    }

    void read(int i, int now) {
        if (lastRead(i) != now) {
            narrow.lazySet(NARROW * i + LAST_READ, now);
        }
    }

    /** Counts a read that is to be told; the number of reads since the last telling. */
    int touch(int i) {
        return narrow.incrementAndGet(NARROW * i + TOUCHES);
    }

    int touches(int i) {
        return narrow.get(NARROW * i + TOUCHES);
    }

    int takeTouches(int i) {
        return narrow.getAndSet(NARROW * i + TOUCHES, 0);
    }

    long bytes() {
        return (long) count * PAGE_BYTES + (long) segments.length * SEGMENT_BYTES;
    }

    /** The first page that ends after a position. It is looked for where it would be if all pages were of one length, then around that. */
    int from(long position) {
        int lo = 0; // pages before it begin at or before the position
        int hi = count; // pages from it on begin after it
        int at = (int) Math.max(0, Math.min(count - 1, (position - first) * each));
        for (int step = 1; lo < hi; step = Math.min(2 * step, 1 << 20)) {
            if (offset(at) <= position) {
                lo = at + 1;
                at += step;
            } else {
                hi = at;
                at -= step;
            }
            if (at < lo || at >= hi) {
                at = lo + hi >>> 1;
            }
        }
        return lo > 0 && end(lo - 1) > position ? lo - 1 : lo;
    }

    /**
     * The table with what is told of some ranges in the place of what was known of them. Told pages may reach beyond the ranges. What would take more than
     * limit bytes of memory is left out.
     */
    PageTable merged(PageTable told, List<Span> ranges, long limit) {
        Builder out = new Builder((int) Math.min(count + told.count, limit / PAGE_BYTES));
        out.limit = limit;
        int j = 0;
        for (int i = 0; i < count; i++) {
            if (!stays(i, told, ranges)) {
                continue;
            }
            for (; j < told.count && told.offset(j) < offset(i); j++) {
                out.copy(told, j, this);
            }
            out.copy(this, i, null);
        }
        for (; j < told.count; j++) {
            out.copy(told, j, this);
        }
        return out.build();
    }

    /** What was known stays where it touches neither the ranges nor a page that is told. */
    private boolean stays(int i, PageTable told, List<Span> ranges) {
        int t = told.from(offset(i));
        if (t < told.count && told.offset(t) < end(i)) {
            return false;
        }
        for (Span s : ranges) {
            if (s.to > offset(i)) {
                return s.from >= end(i);
            }
        }
        return true;
    }

    /** Collects pages in the order of their offsets. */
    static final class Builder {
        private int count;
        private long[] wide;
        private int[] narrow;
        private final List<Segment> segments = new ArrayList<>();
        private final Map<Segment, Integer> numbers = new IdentityHashMap<>();
        private long limit = Long.MAX_VALUE;

        Builder(int room) {
            wide = new long[WIDE * room];
            narrow = new int[NARROW * room];
        }

        void add(long pageOffset, int pageLength, long low, long high, Segment s, int recordNumber, int read) {
            if (WIDE * count == wide.length) {
                int room = Math.max(16, 2 * count);
                wide = Arrays.copyOf(wide, WIDE * room);
                narrow = Arrays.copyOf(narrow, NARROW * room);
            }
            int w = WIDE * count;
            wide[w + OFFSET] = pageOffset;
            wide[w + KEY_LOW] = low;
            wide[w + KEY_HIGH] = high;
            int n = NARROW * count;
            narrow[n + LENGTH] = pageLength;
            narrow[n + SEGMENT] = numbers.computeIfAbsent(s, x -> {
                segments.add(x);
                return segments.size() - 1;
            });
            narrow[n + RECORD] = recordNumber;
            narrow[n + LAST_READ] = read;
            count++;
        }

        private boolean overlaps(long offset) {
            int last = count - 1;
            return last >= 0 && wide[WIDE * last + OFFSET] + narrow[NARROW * last + LENGTH] > offset;
        }

        /** Takes a page of another table, and when it was read from a third (null: none), if that has it. */
        private void copy(PageTable t, int i, PageTable before) {
            int at = t.narrow.get(NARROW * i + RECORD);
            Segment s = t.segment(i);
            if (at == 0 || s.retired || overlaps(t.offset(i))) {
                return;
            }
            limit -= PAGE_BYTES;
            if (limit < 0) {
                return;
            }
            int read = t.lastRead(i);
            if (before != null) {
                int b = before.from(t.offset(i));
                if (b < before.count && before.keyLow(b) == t.keyLow(i) && before.keyHigh(b) == t.keyHigh(i)) {
                    read = before.lastRead(b);
                }
            }
            add(t.offset(i), t.length(i), t.keyLow(i), t.keyHigh(i), s, at, read);
        }

        PageTable build() {
            return new PageTable(this);
        }
    }
}
