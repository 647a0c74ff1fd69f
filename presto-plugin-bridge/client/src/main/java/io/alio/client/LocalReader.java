package io.alio.client;

import io.alio.client.segment.Crc32c;
import io.alio.client.segment.Format;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.util.concurrent.atomic.AtomicReferenceArray;

/** Reads pages from segments, and believes nothing before its sums hold. */
final class LocalReader {
    private static final int CHUNK = 256 << 10; // read before it is summed up: few enough to be in the processor's cache still
    private static final int TRIES = 3; // of a read whose channel an interruption closed
    private static final int RECENT = 60; // seconds for which a page that was read is taken to be in the operating system's memory
    private static final long ORIGIN = System.nanoTime() - 1_000_000_000L;

    private final Segments segments;
    private final AlioOptions options;
    private final Runnable suspectDirectories;
    private final Warnings warnings;
    private final Lent lent = new Lent();
    private final Sums known = new Sums();

    LocalReader(Segments segments, AlioOptions options, Runnable suspectDirectories, Warnings warnings) {
        this.segments = segments;
        this.options = options;
        this.suspectDirectories = suspectDirectories;
        this.warnings = warnings;
    }

    /** Seconds since about when the class was loaded, from 1. */
    private static int now() {
        return (int) ((System.nanoTime() - ORIGIN) / 1_000_000_000L);
    }

    /** What a read needs beside the caller's buffer: a header, room for a chunk, and a sum. */
    private static final class Scratch {
        final ByteBuffer buffer = ByteBuffer.allocateDirect(Format.MAX_RECORD_HEADER + CHUNK).order(ByteOrder.LITTLE_ENDIAN);
        final Crc32c crc = Crc32c.create();
        final ByteBuffer sum = ByteBuffer.allocate(Format.SUMMED).order(ByteOrder.LITTLE_ENDIAN); // what of a header is summed
        final ByteBuffer key = ByteBuffer.allocate(Format.KEY).order(ByteOrder.LITTLE_ENDIAN); // of the page
        byte[] pad; // what a mapped block holds beside the bytes asked for; null: was not needed yet
    }

    /** Scratches that are lent out and come back. Beyond so many the collector has them. */
    private static final class Lent {
        private static final int SLOTS = 32;
        private final AtomicReferenceArray<Scratch> free = new AtomicReferenceArray<>(SLOTS);

        Scratch take() {
            int start = (int) Thread.currentThread().getId();
            for (int i = 0; i < SLOTS; i++) {
                Scratch s = free.getAndSet(start + i & SLOTS - 1, null);
                if (s != null) {
                    return s;
                }
            }
            return new Scratch();
        }

        void give(Scratch s) {
            int start = (int) Thread.currentThread().getId();
            for (int i = 0; i < SLOTS; i++) {
                if (free.compareAndSet(start + i & SLOTS - 1, null, s)) {
                    return;
                }
            }
        }
    }

    /** One page being read: target gets all that remains of it, from {@code in} of the page. */
    private static final class Plan {
        final long record;
        final int length;
        final int header;
        final int first; // block
        final long dataAt;
        final int data; // bytes: whole blocks, but for the page's last
        final int skip; // of the data before the bytes asked for
        final int want;
        final long keyLow;
        final long keyHigh;
        final Segment segment;

        Plan(PageTable t, int page, Segment segment, long record, int in, int want) {
            this.segment = segment;
            this.record = record;
            this.want = want;
            length = t.length(page);
            header = Format.recordHeader(length);
            first = in / Format.BLOCK;
            int end = Math.min(((in + want - 1) / Format.BLOCK + 1) * Format.BLOCK, length);
            dataAt = record + header + (long) first * Format.BLOCK;
            data = end - first * Format.BLOCK;
            skip = in - first * Format.BLOCK;
            keyLow = t.keyLow(page);
            keyHigh = t.keyHigh(page);
        }

        /** The sums of all blocks, from the header at a place of b; null: it does not hold. */
        int[] sums(ByteBuffer b, int at, Scratch s) {
            if (!Format.checkRecord(b, at, s.crc, s.sum, segment.name.instance, segment.name.seq, record, keyLow, keyHigh, length)) {
                return null;
            }
            int[] sums = new int[Format.blocks(length)];
            for (int i = 0; i < sums.length; i++) {
                sums[i] = Format.blockSum(b, at, i);
            }
            return sums;
        }

        /** Begins the sum of a block. */
        void seed(Scratch s) {
            s.key.putLong(0, keyLow).putLong(8, keyHigh);
            s.crc.reset();
            s.crc.update(s.key.array(), 0, Format.KEY);
        }
    }

    /**
     * Fills target from {@code in} of a page. Nothing in it counts unless it was served; then its position is at its limit. The calling thread's interrupt
     * flag is cleared meanwhile, since a read with it set would close the file for all.
     */
    Outcome read(PageTable t, int page, ByteBuffer target, int in) {
        boolean interrupted = Thread.interrupted();
        try {
            int from = target.position();
            int now = now();
            Outcome o = Outcome.INTERRUPTED;
            for (int i = 0; i < TRIES && o == Outcome.INTERRUPTED; i++) {
                target.position(from);
                o = readOnce(t, page, target, in, now);
                interrupted |= Thread.interrupted();
            }
            if (o == Outcome.SERVED) {
                t.read(page, now);
            }
            return o;
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private Outcome readOnce(PageTable t, int page, ByteBuffer target, int in, int now) {
        long record = t.record(page);
        if (record == 0) {
            return Outcome.ABSENT;
        }
        Segment s = t.segment(page);
        if (s.retired) {
            return Outcome.RETIRED;
        }
        Device device = s.name.directory.device;
        if (!device.usable()) {
            return Outcome.FAILING;
        }
        Handle h;
        try {
            h = segments.acquire(s);
        } catch (Segments.NotOpen e) {
            if (e.outcome == Outcome.RETIRED) {
                suspectDirectories.run();
            }
            return e.outcome;
        }
        Plan p = new Plan(t, page, s, record, in, target.remaining());
        try {
            boolean ok = guarded(t.lastRead(page), now, device) ? guardedRead(p, h, target) : directRead(p, h, target);
            if (ok) {
                if (device.suspended()) {
                    device.ok();
                }
                return Outcome.SERVED;
            }
            return damaged(t, page, s);
        } catch (EOFException e) {
            return damaged(t, page, s);
        } catch (ClosedChannelException e) { // a thread was interrupted in the middle of a read
            segments.reopen(s, h);
            return Outcome.INTERRUPTED;
        } catch (Device.Late e) {
            return Outcome.SLOW;
        } catch (IOException | InternalError e) { // the latter is a mapping's fault
            t.voidPlace(page);
            if (device.fail()) {
                warnings.warn("device " + s.name.directory.path, "the cache directory " + s.name.directory.path
                        + " fails and is set aside; pages are asked of the sidecar until it answers again: " + e);
            }
            return Outcome.FAILING;
        }
    }

    private boolean guarded(int last, int now, Device device) {
        switch (options.guard()) {
            case ALL:
                return true;
            case NONE:
                return false;
            default:
                return last == 0 || now - last > RECENT || device.suspended();
        }
    }

    /** The page's place is void; if the segment's file has no name any more, all places in it are. */
    private Outcome damaged(PageTable t, int page, Segment s) {
        t.voidPlace(page);
        if (!Files.exists(s.name.file(), LinkOption.NOFOLLOW_LINKS)) {
            segments.retire(s.name);
        } else {
            warnings.warn("damaged " + s.name.directory.path, "a page in " + s.name.file()
                    + " does not hold its sums and was not used; it is read from the sidecar. If this goes on, look at the device");
        }
        return Outcome.DAMAGED;
    }

    private boolean directRead(Plan p, Handle h, ByteBuffer target) throws IOException {
        Scratch s = lent.take();
        try {
            ByteBuffer m = options.mapping() ? segments.mapping(p.segment, h) : null;
            return m != null ? readMapped(p, m, target, s) : readFile(p, h.file, target, s);
        } finally {
            lent.give(s);
            h.release();
        }
    }

    /** Reads on a thread of the device, no longer than the deadline, into a buffer of its own, since a read that was given up still writes into it. */
    private boolean guardedRead(Plan p, Handle h, ByteBuffer target) throws IOException, Device.Late {
        class Read implements Device.Work {
            private final ByteBuffer own = ByteBuffer.allocate(p.want);
            private boolean ok;

            @Override
            public void run() throws IOException {
                Scratch s = lent.take();
                try {
                    ok = readFile(p, h.file, own, s);
                } finally {
                    lent.give(s);
                }
            }

            @Override
            public void left() {
                h.release();
            }
        }
        Read r = new Read();
        try {
            p.segment.name.directory.device.run(r, options.localNanos());
        } catch (IOException e) {
            h.release();
            throw e;
        }
        h.release();
        if (r.ok) {
            r.own.flip();
            target.put(r.own);
        }
        return r.ok;
    }

    private static void readFully(FileChannel f, ByteBuffer b, long at) throws IOException {
        while (b.hasRemaining()) {
            int n = f.read(b, at);
            if (n < 0) {
                throw new EOFException();
            }
            at += n;
        }
    }

    /** Reads a chunk at a time, with the header in front of the first where it lies there, and copies each block that holds to target. */
    private boolean readFile(Plan p, FileChannel f, ByteBuffer target, Scratch s) throws IOException {
        ByteBuffer b = s.buffer;
        int base = Format.MAX_RECORD_HEADER; // where the data starts in b
        int header = base - p.header;
        int[] sums = null;
        if (p.first > 0) {
            sums = known.find(p.segment, p.record, p.keyLow, p.keyHigh);
            if (sums == null) {
                b.limit(base).position(header);
                readFully(f, b, p.record);
                sums = p.sums(b, header, s);
                if (sums == null) {
                    return false;
                }
                known.keep(p.segment, p.record, p.keyLow, p.keyHigh, sums);
            }
        }
        for (int lo = 0; lo < p.data; lo += CHUNK) {
            int n = Math.min(CHUNK, p.data - lo);
            int with = sums == null ? p.header : 0;
            b.limit(base + n).position(base - with);
            readFully(f, b, p.dataAt + lo - with);
            if (sums == null) {
                sums = p.sums(b, header, s);
                if (sums == null) {
                    return false;
                }
            }
            for (int at = lo; at < lo + n; at += Format.BLOCK) {
                int end = Math.min(lo + n, at + Format.BLOCK);
                b.limit(base + end - lo).position(base + at - lo);
                p.seed(s);
                s.crc.update(b);
                if (s.crc.value() != sums[p.first + at / Format.BLOCK]) {
                    return false;
                }
                b.limit(base + Math.min(end, p.skip + p.want) - lo).position(base + Math.max(at, p.skip) - lo);
                target.put(b);
            }
        }
        return true;
    }

    /**
     * Copies a block first and sums up the copy: the mapping may be punched between the two, and a fault within a sum would end the process where one within a
     * copy is an InternalError. A block at a time, so that its sum finds it in the processor's cache.
     */
    private boolean readMapped(Plan p, ByteBuffer mapping, ByteBuffer target, Scratch s) throws EOFException {
        if (p.dataAt + p.data > mapping.capacity()) {
            throw new EOFException();
        }
        ByteBuffer m = mapping.duplicate();
        int[] sums = p.first > 0 ? known.find(p.segment, p.record, p.keyLow, p.keyHigh) : null;
        if (sums == null) {
            m.limit((int) p.record + p.header).position((int) p.record);
            s.buffer.clear();
            s.buffer.put(m);
            sums = p.sums(s.buffer, 0, s);
            if (sums == null) {
                return false;
            }
            if (p.first > 0) {
                known.keep(p.segment, p.record, p.keyLow, p.keyHigh, sums);
            }
        }
        int data = (int) p.dataAt;
        int limit = target.limit();
        for (int at = 0; at < p.data; at += Format.BLOCK) {
            int end = Math.min(p.data, at + Format.BLOCK);
            int from = Math.max(at, p.skip);
            int to = Math.min(end, p.skip + p.want);
            p.seed(s);
            pad(m, data + at, from - at, s);
            int start = target.position();
            m.limit(data + to).position(data + from);
            target.put(m);
            target.limit(target.position()).position(start);
            s.crc.update(target);
            target.limit(limit).position(start + to - from);
            pad(m, data + to, end - to, s);
            if (s.crc.value() != sums[p.first + at / Format.BLOCK]) {
                return false;
            }
        }
        return true;
    }

    private static void pad(ByteBuffer m, int at, int n, Scratch s) {
        if (n == 0) {
            return;
        }
        if (s.pad == null) {
            s.pad = new byte[Format.BLOCK];
        }
        m.limit(m.capacity());
        m.position(at);
        m.get(s.pad, 0, n);
        s.crc.update(s.pad, 0, n);
    }
}
