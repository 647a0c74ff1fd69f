package io.alio.client;

/**
 * Keeps calls from a sidecar that does not answer. After {@link #AFTER} failures in a row it opens: calls fail at once, but for one trial after a pause,
 * which doubles with each trial that fails, up to a limit. Any answer closes it, an error too: whoever answers lives.
 */
final class Breaker {
    private static final int AFTER = 3;
    private static final long FIRST_PAUSE = 100_000_000;

    private final long limit;
    private int failures;
    private long until;
    private long pause;
    private String last = "";

    Breaker(long limit) {
        this.limit = limit;
    }

    /** 0 if a call may be made, else for how many nanoseconds it may not. */
    synchronized long allow() {
        if (failures < AFTER) {
            return 0;
        }
        long now = System.nanoTime();
        if (until - now > 0) {
            return until - now;
        }
        until = now + pause; // this call is the trial; others wait for what it finds
        return 0;
    }

    synchronized String last() {
        return last;
    }

    /** Counts a call that was not answered; true if that has just opened it. */
    synchronized boolean failed(String why) {
        failures++;
        last = why;
        if (failures < AFTER) {
            return false;
        }
        pause = Math.min(Math.max(2 * pause, FIRST_PAUSE), limit);
        until = System.nanoTime() + pause;
        return failures == AFTER;
    }

    /** Counts an answer; true if that has closed it. */
    synchronized boolean answered() {
        boolean was = failures >= AFTER;
        failures = 0;
        pause = 0;
        return was;
    }

    synchronized boolean isOpen() {
        return failures >= AFTER;
    }
}
