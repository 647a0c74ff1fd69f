package io.alio.client;

import io.alio.client.segment.Format;
import io.alio.client.wire.ProtoWriter;
import io.alio.client.wire.Requests;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Counts local reads until they are told: with the next Open, or by a timer, which runs only while there is something to tell or a file open. Beyond
 * {@link #MOST} pages what comes is not told; it is a sample then.
 */
final class Touches {
    private static final int MOST = 4096;
    private static final long LEAST = 250_000_000; // between two messages that a full list sends
    private static final long IDLE = 30_000_000_000L; // descriptors that nobody used for so long are closed

    private final ScheduledExecutorService timer;
    private final long interval;
    private final Counters counters;
    private final Segments segments;
    private final Runnable tell;
    private volatile boolean full;

    private final PageTable[] tables = new PageTable[MOST]; // of the pages to tell of, under this
    private final int[] pages = new int[MOST];
    private int count;
    private long toldBytes;
    private long lastTold;
    private ScheduledFuture<?> armed; // null: not
    private boolean closed;

    /** @param tell sends an Open without files, which takes what there is to tell */
    Touches(ScheduledExecutorService timer, long interval, Counters counters, Segments segments, Runnable tell) {
        this.timer = timer;
        this.interval = interval;
        this.counters = counters;
        this.segments = segments;
        this.tell = tell;
        this.lastTold = System.nanoTime() - LEAST;
    }

    /** Counts a read of a page. It takes the lock only for the first read since the page was told of, and not while the list is full. */
    void add(PageTable t, int page) {
        if (full && t.touches(page) == 0) {
            return;
        }
        if (t.touch(page) == 1) {
            list(t, page);
        }
    }

    private synchronized void list(PageTable t, int page) {
        if (closed || count == MOST) {
            t.takeTouches(page);
            return;
        }
        tables[count] = t;
        pages[count++] = page;
        if (count == 1) {
            arm(interval);
        } else if (count == MOST) {
            full = true;
            arm(Math.max(0, LEAST - (System.nanoTime() - lastTold)));
        }
    }

    private void arm(long nanos) {
        if (armed != null && !armed.cancel(false)) {
            return; // it fires at this moment
        }
        try {
            armed = timer.schedule(this::fire, nanos, TimeUnit.NANOSECONDS);
        } catch (RejectedExecutionException e) {
            armed = null;
        }
    }

    private void fire() {
        boolean something;
        synchronized (this) {
            armed = null;
            something = count > 0;
        }
        if (something) {
            tell.run();
        }
        int open = something ? 1 : segments.closeIdle();
        synchronized (this) {
            if (closed || armed != null) {
                return;
            }
            if (count > 0) {
                arm(interval);
            } else if (open > 0) {
                arm(IDLE);
            }
        }
    }

    /** What there is to tell, null if nothing. It counts as told, whether or not it arrives. */
    synchronized ProtoWriter take() {
        if (count == 0) {
            return null;
        }
        ByteBuffer keys = ByteBuffer.allocate(count * Format.KEY).order(ByteOrder.LITTLE_ENDIAN);
        int[] counts = new int[count];
        for (int i = 0; i < count; i++) {
            keys.putLong(tables[i].keyLow(pages[i])).putLong(tables[i].keyHigh(pages[i]));
            counts[i] = tables[i].takeTouches(pages[i]);
            tables[i] = null;
        }
        long read = counters.getLocalBytes();
        ProtoWriter w = Requests.touches(keys.array(), counts, read - toldBytes);
        toldBytes = read;
        counters.touched.add(count);
        count = 0;
        lastTold = System.nanoTime();
        full = false;
        return w;
    }

    /** Whether there is something to tell. */
    boolean close() {
        synchronized (this) {
            closed = true;
            if (armed != null) {
                armed.cancel(false);
            }
            return count > 0;
        }
    }
}
