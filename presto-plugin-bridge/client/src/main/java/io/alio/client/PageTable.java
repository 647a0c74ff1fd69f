package io.alio.client;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * Where an object's pages lie, as far as the client knows: what is not in it is asked of the sidecar. Its pages are in order and do not overlap. It does not
 * change but for places that are voided, touches that are counted, and when a page was read last. It holds no object for a page: 48 bytes each, as the Go
 * client's.
 */
final class PageTable {
    static final int PAGE_BYTES = 48;
    private static final int SEGMENT_BYTES = 8;

    static final PageTable EMPTY = new Builder(0).build();

    final int count;
    final long[] offset; // in the object
    final long[] keyLow;
    final long[] keyHigh;
    final int[] length;
    final int[] lastRead; // when its bytes were read here last, in units of Clock.now; 0: never. A hint: it may be written by many at once
    private final int[] segment;
    private final Segment[] segments;
    private final AtomicIntegerArray record; // where its record starts, in units of 64 bytes; 0: nowhere any more
    private final AtomicIntegerArray touches; // reads that were not told yet

    private PageTable(Builder b) {
        count = b.count;
        offset = Arrays.copyOf(b.offset, count);
        keyLow = Arrays.copyOf(b.keyLow, count);
        keyHigh = Arrays.copyOf(b.keyHigh, count);
        length = Arrays.copyOf(b.length, count);
        lastRead = Arrays.copyOf(b.lastRead, count);
        segment = Arrays.copyOf(b.segment, count);
        segments = b.segments.toArray(new Segment[0]);
        record = new AtomicIntegerArray(Arrays.copyOf(b.record, count));
        touches = new AtomicIntegerArray(count);
    }

    long end(int i) {
        return offset[i] + length[i];
    }

    Segment segment(int i) {
        return segments[segment[i]];
    }

    /** Where the page's record starts in its segment, in bytes; 0: it has no place any more. */
    long record(int i) {
        return (record.get(i) & 0xffffffffL) * 64;
    }

    /** Takes the place away. */
    void voidPlace(int i) {
        record.set(i, 0);
    }

    /** Counts a read that is to be told; the number of reads since the last telling. */
    int touch(int i) {
        return touches.incrementAndGet(i);
    }

    int touches(int i) {
        return touches.get(i);
    }

    int takeTouches(int i) {
        return touches.getAndSet(i, 0);
    }

    long bytes() {
        return (long) count * PAGE_BYTES + (long) segments.length * SEGMENT_BYTES;
    }

    /** The first page that ends after a position. */
    int from(long position) {
        int lo = 0;
        int hi = count;
        while (lo < hi) {
            int mid = lo + hi >>> 1;
            if (end(mid) > position) {
                hi = mid;
            } else {
                lo = mid + 1;
            }
        }
        return lo;
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
            for (; j < told.count && told.offset[j] < offset[i]; j++) {
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
        int t = told.from(offset[i]);
        if (t < told.count && told.offset[t] < end(i)) {
            return false;
        }
        for (Span s : ranges) {
            if (s.to > offset[i]) {
                return s.from >= end(i);
            }
        }
        return true;
    }

    /** Collects pages in the order of their offsets. */
    static final class Builder {
        private int count;
        private long[] offset;
        private long[] keyLow;
        private long[] keyHigh;
        private int[] length;
        private int[] lastRead;
        private int[] segment;
        private int[] record;
        private final List<Segment> segments = new ArrayList<>();
        private final Map<Segment, Integer> numbers = new IdentityHashMap<>();
        private long limit = Long.MAX_VALUE;

        Builder(int room) {
            offset = new long[room];
            keyLow = new long[room];
            keyHigh = new long[room];
            length = new int[room];
            lastRead = new int[room];
            segment = new int[room];
            record = new int[room];
        }

        void add(long pageOffset, int pageLength, long low, long high, Segment s, int recordNumber, int read) {
            if (count == offset.length) {
                grow(Math.max(16, 2 * count));
            }
            offset[count] = pageOffset;
            length[count] = pageLength;
            keyLow[count] = low;
            keyHigh[count] = high;
            segment[count] = numbers.computeIfAbsent(s, x -> {
                segments.add(x);
                return segments.size() - 1;
            });
            record[count] = recordNumber;
            lastRead[count] = read;
            count++;
        }

        private void grow(int room) {
            offset = Arrays.copyOf(offset, room);
            keyLow = Arrays.copyOf(keyLow, room);
            keyHigh = Arrays.copyOf(keyHigh, room);
            length = Arrays.copyOf(length, room);
            lastRead = Arrays.copyOf(lastRead, room);
            segment = Arrays.copyOf(segment, room);
            record = Arrays.copyOf(record, room);
        }

        /** Takes a page of another table, and when it was read from a third (null: none), if that has it. */
        private void copy(PageTable t, int i, PageTable before) {
            int at = t.record.get(i);
            Segment s = t.segment(i);
            if (at == 0 || s.retired || count > 0 && offset[count - 1] + length[count - 1] > t.offset[i]) {
                return;
            }
            limit -= PAGE_BYTES;
            if (limit < 0) {
                return;
            }
            int read = t.lastRead[i];
            if (before != null) {
                int b = before.from(t.offset[i]);
                if (b < before.count && before.keyLow[b] == t.keyLow[i] && before.keyHigh[b] == t.keyHigh[i]) {
                    read = before.lastRead[b];
                }
            }
            add(t.offset[i], t.length[i], t.keyLow[i], t.keyHigh[i], s, at, read);
        }

        PageTable build() {
            return new PageTable(this);
        }
    }
}
