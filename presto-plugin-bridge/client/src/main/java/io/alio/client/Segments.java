package io.alio.client;

import io.alio.client.segment.Format;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * All segments that views point to, and those of them that are open: at most so many, those included that are being opened, and those that readers still
 * hold. Which one is closed for another is decided by the clock algorithm.
 */
final class Segments {
    /** A segment cannot be read just now. */
    static final class NotOpen extends Exception {
        private static final long serialVersionUID = 1;
        final transient Outcome outcome;

        NotOpen(Outcome outcome) {
            super(outcome.name(), null, false, false);
            this.outcome = outcome;
        }
    }

    private static final long MAPPING_PAUSE = 2_000_000_000L; // until a segment that was not sealed is looked at again

    private final int limit;
    private final long deadline;
    private final Executor background;
    private final AtomicInteger descriptors = new AtomicInteger();
    private final AtomicLong mapped = new AtomicLong();

    private final Map<Segment.Name, Segment> byName = new HashMap<>();
    private final List<Segment> ring = new ArrayList<>(); // whose handle is not null
    private int hand;
    private boolean closed;

    Segments(int limit, long deadline, Executor background) {
        this.limit = limit;
        this.deadline = deadline;
        this.background = background;
    }

    int open() {
        return descriptors.get();
    }

    long mappedBytes() {
        return mapped.get();
    }

    /** Finds or makes the segment of a name. */
    synchronized Segment get(Segment.Name name) {
        return byName.computeIfAbsent(name, Segment::new);
    }

    /** Voids a segment's places and closes its descriptor once no reader holds it. */
    synchronized boolean retire(Segment.Name name) {
        Segment s = byName.remove(name);
        if (s == null) {
            return false;
        }
        s.retired = true;
        drop(s);
        return true;
    }

    private void drop(Segment s) {
        Handle h = s.handle;
        if (h != null) {
            s.handle = null;
            ring.remove(s);
            h.release();
        }
    }

    /** Lets a handle go that cannot be used any more: the next reader opens the segment again. */
    synchronized void reopen(Segment s, Handle h) {
        if (s.handle == h) {
            drop(s);
        }
    }

    /** Voids every place that is known. Segments that are told again are opened again. */
    synchronized void forget() {
        for (Segment s : byName.values()) {
            s.retired = true;
            drop(s);
        }
        byName.clear();
    }

    /** Closes the descriptors that were not used since it was called last. */
    synchronized int closeIdle() {
        for (Segment s : new ArrayList<>(ring)) {
            if (!s.used) {
                drop(s);
            }
            s.used = false;
        }
        return ring.size();
    }

    void close() {
        synchronized (this) {
            closed = true;
        }
        forget();
    }

    void closeLater(Handle h) {
        try {
            background.execute(h::close);
        } catch (RejectedExecutionException e) { // the client is closed
            h.close();
        }
    }

    void closed(long wasMapped) {
        mapped.addAndGet(-wasMapped);
        descriptors.decrementAndGet();
    }

    /** Returns an open handle, which the caller releases. A segment that is not open is opened, once for all who want it, before the deadline. */
    Handle acquire(Segment s) throws NotOpen {
        Handle h = s.handle;
        if (h != null && h.acquire()) {
            if (!s.used) {
                s.used = true;
            }
            return h;
        }
        return openIt(s);
    }

    private Handle openIt(Segment s) throws NotOpen {
        boolean mine;
        synchronized (this) {
            Handle h = s.handle;
            if (h != null && h.acquire()) {
                return h;
            }
            if (closed || s.retired) {
                throw new NotOpen(Outcome.RETIRED);
            }
            mine = !s.opening;
            if (mine) {
                if (!makeRoom()) {
                    throw new NotOpen(Outcome.BUSY);
                }
                descriptors.incrementAndGet();
                s.opening = true;
            }
        }
        if (mine) {
            openNow(s);
        }
        return waitFor(s);
    }

    private synchronized Handle waitFor(Segment s) throws NotOpen {
        boolean interrupted = false;
        try {
            long end = System.nanoTime() + deadline;
            while (s.opening) {
                long left = end - System.nanoTime();
                if (left <= 0) {
                    throw new NotOpen(Outcome.SLOW);
                }
                try {
                    wait(left / 1_000_000, (int) (left % 1_000_000));
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            Handle h = s.handle;
            if (h != null && h.acquire()) {
                return h;
            }
            throw new NotOpen(s.failed != null ? s.failed : Outcome.BUSY); // busy: it was closed for another already
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Closes descriptors that nobody uses until there is room for one more; false if there are none. */
    private boolean makeRoom() {
        for (int tries = 2 * ring.size(); descriptors.get() >= limit; tries--) {
            if (tries <= 0 || ring.isEmpty()) {
                return false;
            }
            hand %= ring.size();
            Segment s = ring.get(hand);
            boolean was = s.used;
            s.used = false;
            if (was || s.handle.inUse()) {
                hand++;
                continue;
            }
            Handle h = s.handle;
            s.handle = null;
            int last = ring.size() - 1;
            ring.set(hand, ring.get(last));
            ring.remove(last);
            h.releaseNow();
        }
        return true;
    }

    /** Opens a segment on its device's threads and tells those who wait. What is given up is finished when the device lets it. */
    private void openNow(Segment s) {
        class Opening implements Device.Work {
            private FileChannel file;
            private Exception failure;

            @Override
            public void run() throws IOException {
                try {
                    file = Directory.openRegular(s.name.file());
                    ByteBuffer b = ByteBuffer.allocate(Format.HEADER);
                    while (b.hasRemaining() && file.read(b, b.position()) >= 0) {
                        // on
                    }
                    b.flip();
                    if (b.limit() < Format.HEADER || Format.checkHeader(b, s.name.instance, s.name.seq) != Format.HeaderCheck.OK) {
                        throw new Directory.ForeignException(s.name.file() + " is no segment that this build can read");
                    }
                } catch (IOException e) {
                    failure = e;
                    throw e;
                }
            }

            @Override
            public void left() {
                opened(s, file, failure, file != null || failure != null);
            }
        }
        Opening work = new Opening();
        try {
            s.name.directory.device.run(work, deadline);
            opened(s, work.file, null, true);
        } catch (IOException e) {
            opened(s, work.file, e, true);
        } catch (Device.Late e) {
            // left tells, when it has ended
        }
    }

    /** Ends an attempt. */
    private void opened(Segment s, FileChannel file, Exception failure, boolean ran) {
        Device device = s.name.directory.device;
        boolean foreign = failure instanceof Directory.ForeignException;
        boolean gone = failure instanceof NoSuchFileException;
        if (ran && (failure == null || gone)) {
            device.ok();
        } else if (ran && !foreign) {
            device.fail();
        }
        synchronized (this) {
            boolean ok = ran && failure == null && !closed && !s.retired;
            if (gone || foreign) {
                s.retired = true; // a foreign one is kept by its name, so that it is not tried again
            }
            if (gone) {
                byName.remove(s.name, s);
            }
            s.failed = ok ? null : !ran ? Outcome.SLOW : gone || foreign || failure == null ? Outcome.RETIRED : Outcome.FAILING;
            if (ok) {
                s.handle = new Handle(this, file);
                s.used = true;
                ring.add(s);
            } else if (file != null) {
                closeLater(new Handle(this, file));
            } else {
                descriptors.decrementAndGet();
            }
            s.opening = false;
            notifyAll();
        }
    }

    /**
     * Returns the segment's mapping, which is made once the segment is sealed: from then on the file never changes and never shrinks. null: it cannot be
     * mapped, or not yet, or it is not the time to find out.
     */
    ByteBuffer mapping(Segment s, Handle h) {
        ByteBuffer m = h.mapping;
        if (m != null || h.tryMapping == Long.MAX_VALUE || System.nanoTime() - h.tryMapping < 0) {
            return m;
        }
        synchronized (h) {
            if (h.mapping == null && h.tryMapping != Long.MAX_VALUE && System.nanoTime() - h.tryMapping >= 0) {
                map(s, h);
            }
            return h.mapping;
        }
    }

    private void map(Segment s, Handle h) {
        h.tryMapping = System.nanoTime() + MAPPING_PAUSE;
        try {
            long size = h.file.size();
            if (size < Format.HEADER + Format.TRAILER || size > Integer.MAX_VALUE) {
                return;
            }
            ByteBuffer t = ByteBuffer.allocate(Format.TRAILER);
            while (t.hasRemaining() && h.file.read(t, size - Format.TRAILER + t.position()) >= 0) {
                // on
            }
            t.flip();
            if (t.limit() == Format.TRAILER && Format.isTrailer(t, s.name.instance, s.name.seq, size)) {
                h.mapping = h.file.map(FileChannel.MapMode.READ_ONLY, 0, size);
                mapped.addAndGet(size);
            } // else it is still being written
        } catch (IOException | OutOfMemoryError e) { // "Map failed" is such an error
            h.tryMapping = Long.MAX_VALUE;
        }
    }
}
