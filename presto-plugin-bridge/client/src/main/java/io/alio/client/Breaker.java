package io.alio.client;

/**
 * Keeps calls from a sidecar that does not answer. The first call that is not answered in time makes the sidecar suspect: from then on no call is made but
 * those that ask, on a thread of their own, whether it lives. An answer ends that, an error too: whoever answers lives. So a sidecar that was slow once is
 * called again within a millisecond or so, and of one that hangs nobody waits for more than the call that he had begun. A suspicion that the first question
 * has confirmed is called open; that is for those who watch, and for calls that wait for the verdict.
 */
final class Breaker {
    private enum State {
        CLOSED,
        SUSPECT,
        OPEN,
    }

    private volatile State state = State.CLOSED;
    private String last = ""; // why; what follows is under this, too
    private long suspicions;
    private long since; // when the last suspicion began
    private long ended; // when it was ended
    private boolean any; // whether one was ended ever

    /** Whether calls may be made. */
    boolean allows() {
        return state == State.CLOSED;
    }

    boolean isOpen() {
        return state == State.OPEN;
    }

    synchronized String last() {
        return last;
    }

    /**
     * Takes note of a call, begun at that time, that was not answered. The answer numbers the suspicion that has just begun: it is for the caller to find out
     * about it. 0: none has, since it is suspect already, or has answered after the call had begun.
     */
    synchronized long failed(long begun, String why) {
        last = why;
        if (state != State.CLOSED || any && ended - begun > 0) {
            return 0;
        }
        state = State.SUSPECT;
        since = System.nanoTime();
        return ++suspicions;
    }

    /** Takes note of an answer that came at that time. One from before the suspicion says nothing about it. */
    synchronized void answered(long at) {
        if (state == State.CLOSED || at - since < 0) {
            return;
        }
        state = State.CLOSED;
        ended = System.nanoTime();
        any = true;
        notifyAll();
    }

    /** The question whether it lives was not answered in time; false: somebody else was, meanwhile. */
    synchronized boolean confirm(long suspicion) {
        if (!isUnder(suspicion)) {
            return false;
        }
        state = State.OPEN;
        notifyAll();
        return true;
    }

    /** Whether that suspicion has not ended. */
    synchronized boolean isUnder(long suspicion) {
        return state != State.CLOSED && suspicions == suspicion;
    }

    synchronized long suspicions() {
        return suspicions;
    }

    /** Waits while it is suspect and the question is under way; whether calls may be made then. An interruption does not end it; the flag is set again. */
    synchronized boolean await(long deadline) {
        boolean interrupted = false;
        while (state == State.SUSPECT) {
            long left = deadline - System.nanoTime();
            if (left <= 0) {
                break;
            }
            try {
                wait(left / 1_000_000, (int) (left % 1_000_000));
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        return state == State.CLOSED;
    }
}
