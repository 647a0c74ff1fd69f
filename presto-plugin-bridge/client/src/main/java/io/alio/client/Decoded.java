package io.alio.client;

import io.alio.client.segment.Format;
import io.alio.client.transport.ProtocolException;
import io.alio.client.wire.Replies;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;

/** What an OpenedFile says, checked. What makes no sense is an exception that says so: then nothing of the answer is used. */
final class Decoded {
    /** A page that this client may fill. */
    static final class Grant {
        final long offset;
        final int length;
        final byte[] key;

        Grant(long offset, int length, byte[] key) {
            this.offset = offset;
            this.length = length;
            this.key = key;
        }

        long end() {
            return offset + length;
        }
    }

    private interface Visit {
        void page(int i, long offset, int length) throws ProtocolException;
    }

    final AlioObject object;
    /** In nanoseconds; 0: only for this opening; View.FOREVER. */
    final long freshFor;
    /** Where the parts that have a key end: what follows is still being written, and is read from the sidecar. */
    long settled;
    final PageTable table;
    /** Of the object, of whose pages the extents tell. */
    final List<Span> told = new ArrayList<>();
    /** Pages that the sidecar has in memory only. */
    final List<Span> memory = new ArrayList<>();
    final List<Grant> granted = new ArrayList<>();
    final byte[] claimToken;
    final long claimNanos;

    private final List<Replies.Part> parts = new ArrayList<>(); // those that have a key
    private final MessageDigest sha = Format.sha256();
    private final Segment[] segments; // of the whole answer; null where one cannot be read here
    private final PageTable.Builder pages = new PageTable.Builder(0);

    Decoded(Replies.OpenedFile f, String mount, Segment[] segments) throws ProtocolException {
        Replies.ObjectInfo o = f.object;
        if (o == null || o.size < 0 || f.freshForMicros < -1) {
            throw new ProtocolException("no object, or one of negative size or freshness");
        }
        this.segments = segments;
        object = new AlioObject(mount, o.path, o.version, o.etag, o.size, o.modifiedMillis);
        freshFor = f.freshForMicros < 0 ? View.FOREVER : Math.min(f.freshForMicros, Long.MAX_VALUE / 4000) * 1000;
        parts(f.parts);
        for (Replies.Extent e : f.extents) {
            extent(e);
        }
        table = pages.build();
        claimToken = f.claimToken;
        claimNanos = f.claimMillis * 1_000_000;
    }

    private void parts(List<Replies.Part> list) throws ProtocolException {
        long end = 0;
        for (Replies.Part p : list) {
            boolean open = p.key.length == 0; // it is still being written: no page of it is anywhere
            if (p.offset != end || p.length < 0 || p.length > object.size() - end || !open && p.key.length != Format.KEY || !open && settled < end) {
                throw new ProtocolException("part at " + p.offset + " of " + p.length + " bytes with a key of " + p.key.length);
            }
            end += p.length;
            if (!open) {
                parts.add(p);
                settled = end;
            }
        }
        if (!list.isEmpty() && end != object.size()) {
            throw new ProtocolException("parts end at " + end + ", the object at " + object.size());
        }
    }

    /** The key of a page, which must lie within one part. */
    private byte[] key(long offset, int length) throws ProtocolException {
        int lo = 0;
        int hi = parts.size();
        while (lo < hi) {
            int mid = lo + hi >>> 1;
            if (parts.get(mid).offset + parts.get(mid).length > offset) {
                hi = mid;
            } else {
                lo = mid + 1;
            }
        }
        if (lo == parts.size() || offset < parts.get(lo).offset || offset + length > parts.get(lo).offset + parts.get(lo).length) {
            throw new ProtocolException("page at " + offset + " of " + length + " bytes lies in no part");
        }
        return Format.pageKey(sha, parts.get(lo).key, offset - parts.get(lo).offset, length);
    }

    private void extent(Replies.Extent e) throws ProtocolException {
        int n = e.lengths.length;
        if (n != e.counts.length || n != e.classes.length || e.placed.length != e.segments.length || e.placed.length != e.records.length) {
            throw new ProtocolException("lists of different number in the extent at " + e.offset);
        }
        covers(e);
        walk(e, e.placed, (i, offset, length) -> place(offset, length, e.segments[i], e.records[i]));
        walk(e, e.memory, (i, offset, length) -> memory.add(new Span(offset, offset + length)));
        walk(e, e.granted, (i, offset, length) -> granted.add(new Grant(offset, length, key(offset, length))));
    }

    /** Adds up the extent's pages. */
    private void covers(Replies.Extent e) throws ProtocolException {
        long at = e.offset;
        long size = object.size();
        for (int i = 0; i < e.lengths.length; i++) {
            long n = e.lengths[i] & 0xffffffffL;
            long count = e.counts[i] & 0xffffffffL;
            if (n < 1 || n > Format.MAX_PAGE || at < 0 || at > size || count > (size - at) / n) {
                throw new ProtocolException(count + " pages of " + n + " bytes at " + at + ", in an object of " + size);
            }
            at += count * n;
        }
        if (!told.isEmpty() && e.offset < told.get(told.size() - 1).to) {
            throw new ProtocolException("the extent at " + e.offset + " begins before the last one's end");
        }
        if (at > e.offset) {
            Span.append(told, e.offset, at);
        }
    }

    private void place(long offset, int length, int segment, int record) throws ProtocolException {
        if (segment < 0 || segment >= segments.length || record == 0) {
            throw new ProtocolException("page at " + offset + " lies in segment " + segment + " of " + segments.length + ", record " + record);
        }
        byte[] key = key(offset, length);
        Segment s = segments[segment];
        if (s != null) {
            ByteBuffer k = ByteBuffer.wrap(key).order(ByteOrder.LITTLE_ENDIAN);
            pages.add(offset, length, k.getLong(0), k.getLong(8), s, record, 0);
        }
    }

    /**
     * Calls visit for each page of a list of steps, with its position in the list and its bounds in the object. The work is that of the list and the runs,
     * however many pages the runs hold; covers has checked these.
     */
    private static void walk(Replies.Extent e, int[] steps, Visit visit) throws ProtocolException {
        int run = 0;
        long number = 0; // the page we are at
        long first = 0; // of the run
        long offset = e.offset; // of the run
        for (int i = 0; i < steps.length; i++) {
            if (i > 0 && steps[i] == 0) {
                throw new ProtocolException("a page is listed twice");
            }
            number += steps[i] & 0xffffffffL;
            while (run < e.lengths.length && number - first >= (e.counts[run] & 0xffffffffL)) {
                first += e.counts[run] & 0xffffffffL;
                offset += (e.counts[run] & 0xffffffffL) * e.lengths[run];
                run++;
            }
            if (run == e.lengths.length) {
                throw new ProtocolException("page " + number + " is in no run");
            }
            visit.page(i, offset + (number - first) * e.lengths[run], e.lengths[run]);
        }
    }
}
