package io.alio.trino;

import java.util.concurrent.atomic.AtomicLong;

/** Lets one thing happen at most once a minute, however often it is asked for: warnings. */
final class Rarely {
    private static final long NANOS = 60_000_000_000L;

    private final AtomicLong last = new AtomicLong(System.nanoTime() - NANOS);

    void run(Runnable r) {
        long now = System.nanoTime();
        long before = last.get();
        if (now - before >= NANOS && last.compareAndSet(before, now)) {
            r.run();
        }
    }
}
