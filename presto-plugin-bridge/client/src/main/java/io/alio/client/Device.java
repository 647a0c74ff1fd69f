package io.alio.client;

import java.io.IOException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Runs what may have to wait for one directory's device, on at most so many threads, so that one that hangs parks no more than these. After
 * {@link #AFTER} failures in a row it is set aside: nothing is asked of it for a while, from 1 s to 1 min, doubled each time; then one read finds out.
 */
final class Device {
    /** What may have to wait. */
    interface Work {
        void run() throws IOException;

        /** It was given up and has ended since, or was never begun: what it used is nobody's. */
        void left();
    }

    /** The work was given up: it may still run, and what it uses is not the caller's. */
    static final class Late extends Exception {
        private static final long serialVersionUID = 1;

        Late() {
            super("the device did not answer in time", null, false, false);
        }
    }

    private static final int AFTER = 4;
    private static final long FIRST_BACKOFF = 1_000_000_000;
    private static final long LAST_BACKOFF = 60_000_000_000L;

    private final int readers;
    private final Semaphore slots;
    private final ThreadPoolExecutor threads;
    private final AtomicInteger overdue = new AtomicInteger(); // slots held by work that was given up and has not ended
    private final AtomicInteger failures = new AtomicInteger();
    private final AtomicLong until = new AtomicLong(); // until when nothing is asked of it; 0: not set aside
    private volatile long backoff;

    Device(String name, int readers) {
        this.readers = readers;
        slots = new Semaphore(readers);
        threads = new ThreadPoolExecutor(0, Integer.MAX_VALUE, 30, TimeUnit.SECONDS, new SynchronousQueue<>(), r -> {
            Thread t = new Thread(r, "alio-client reads " + name);
            t.setDaemon(true);
            return t;
        });
    }

    /** Whether it may be asked. Where it was set aside and the time is up, that is so for one caller, who finds out. */
    boolean usable() {
        long u = until.get();
        if (u == 0) {
            return true;
        }
        long now = System.nanoTime();
        long next = Math.min(2 * backoff, LAST_BACKOFF);
        if (now - u < 0 || !until.compareAndSet(u, nonZero(now + next))) {
            return false;
        }
        backoff = next;
        return true;
    }

    private static long nonZero(long t) {
        return t == 0 ? 1 : t;
    }

    /** Counts an answer of the device. */
    void ok() {
        if (failures.get() != 0 || until.get() != 0) {
            failures.set(0);
            until.set(0);
        }
    }

    /** Whether it is set aside: one read finds out. */
    boolean suspended() {
        return until.get() != 0;
    }

    /** Counts a failure; true if that has just set it aside. */
    boolean fail() {
        if (failures.incrementAndGet() < AFTER || !until.compareAndSet(0, nonZero(System.nanoTime() + FIRST_BACKOFF))) {
            return false;
        }
        backoff = FIRST_BACKOFF;
        return true;
    }

    /** Runs work on another thread and waits for it. An interruption does not end it; the flag is set again. */
    void run(Work work, long nanos) throws IOException, Late {
        boolean interrupted = Thread.interrupted();
        try {
            long deadline = System.nanoTime() + nanos;
            while (true) {
                try {
                    if (!slots.tryAcquire(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS)) {
                        notBegun(work);
                    }
                    break;
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            Job job = new Job(work);
            try {
                threads.execute(job);
            } catch (RejectedExecutionException | OutOfMemoryError e) { // closed, or no thread to be had
                slots.release();
                work.left();
                throw new Late();
            }
            interrupted |= job.await(deadline, nanos);
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private void notBegun(Work work) throws Late {
        if (overdue.get() == readers) {
            fail();
        }
        work.left();
        throw new Late();
    }

    void close() {
        threads.shutdown();
    }

    private final class Job implements Runnable {
        private final Work work;
        private boolean ended;
        private boolean givenUp;
        private Throwable failure;

        Job(Work work) {
            this.work = work;
        }

        @Override
        public void run() {
            Throwable t = null;
            try {
                work.run();
            } catch (IOException | RuntimeException | Error e) {
                t = e;
            }
            boolean left;
            synchronized (this) {
                ended = true;
                failure = t;
                left = givenUp;
                notifyAll();
            }
            if (left) {
                overdue.decrementAndGet();
            }
            slots.release();
            if (left) {
                work.left();
            }
        }

        /** Whether the thread was interrupted meanwhile. */
        synchronized boolean await(long deadline, long nanos) throws IOException, Late {
            long started = deadline - nanos;
            long begun = System.nanoTime();
            boolean interrupted = false;
            while (!ended) {
                long left = deadline - System.nanoTime();
                if (left <= 0) {
                    givenUp = true;
                    overdue.incrementAndGet();
                    // Work that had to queue for most of its time says that there is much of it, not that the device fails.
                    if (begun - started < nanos / 2) {
                        fail();
                    }
                    if (interrupted) {
                        Thread.currentThread().interrupt();
                    }
                    throw new Late();
                }
                try {
                    wait(left / 1_000_000, (int) (left % 1_000_000));
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (failure instanceof IOException) {
                throw (IOException) failure;
            }
            if (failure != null) {
                throw new IOException(failure);
            }
            return interrupted;
        }
    }
}
