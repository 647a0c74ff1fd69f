package io.alio.client;

import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * The sums of pages whose header was checked lately, so that a read in the middle of a page need not read its header each time. Neither changes in a segment: a
 * record's bytes are never written again, and its segment's name is never used again. It takes half a megabyte at most.
 */
final class Sums {
    private static final int SLOTS = 4096;

    private static final class Page {
        final Segment segment;
        final long record;
        final long keyLow;
        final long keyHigh;
        final int[] sums;

        Page(Segment segment, long record, long keyLow, long keyHigh, int[] sums) {
            this.segment = segment;
            this.record = record;
            this.keyLow = keyLow;
            this.keyHigh = keyHigh;
            this.sums = sums;
        }
    }

    private final AtomicReferenceArray<Page> slots = new AtomicReferenceArray<>(SLOTS);

    private static int slot(long keyLow) {
        return (int) keyLow & SLOTS - 1; // keys are digests
    }

    /** The sums of a page's blocks at a place; null: they are not known. */
    int[] find(Segment segment, long record, long keyLow, long keyHigh) {
        Page p = slots.get(slot(keyLow));
        boolean same = p != null && p.keyLow == keyLow && p.keyHigh == keyHigh && p.record == record && p.segment == segment;
        return same ? p.sums : null;
    }

    void keep(Segment segment, long record, long keyLow, long keyHigh, int[] sums) {
        slots.lazySet(slot(keyLow), new Page(segment, record, keyLow, keyHigh, sums));
    }
}
