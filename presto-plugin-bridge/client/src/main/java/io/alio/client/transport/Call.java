package io.alio.client.transport;

/** One call under way, or its end. Its lock is that of its sink. */
public final class Call {
    /** How a call stands. */
    public enum State {
        PENDING,
        /** The answer is whole, with status OK. */
        ANSWERED,
        /** The sidecar has sent another status. */
        REFUSED,
        /** There is no connection, or it broke, or the other side gave the call up unheard. */
        UNREACHED,
        /** What came makes no sense. */
        SENSELESS,
        /** The caller has given it up. */
        GIVEN_UP,
    }

    final int id;
    final Sink sink;
    long window; // bytes that may still be sent; under the connection's write lock

    private final Connection connection;
    private State state = State.PENDING;
    private int status; // gRPC's
    private String message = "";
    private boolean heard;
    private boolean lost;
    private final long begun = System.nanoTime();
    private volatile long progress = begun;
    private int httpStatus = -1;

    Call(Connection connection, int id, Sink sink) {
        this.connection = connection;
        this.id = id;
        this.sink = sink;
    }

    /** A call that could not be begun. */
    static Call failed(String message, boolean lost) {
        Call c = new Call(null, 0, null);
        c.state = State.UNREACHED;
        c.message = message;
        c.lost = lost;
        return c;
    }

    /** Ends with its connection. */
    synchronized void lose(String why) {
        lost = finish(State.UNREACHED, 0, why) && !heard;
    }

    /** Whether its connection was lost before anything of the answer came: it may be made again over another one, with the same sink. */
    public synchronized boolean lost() {
        return lost;
    }

    /** Waits until the call has ended, or System.nanoTime() is past deadline. An interruption does not end it; the flag is set again. */
    public boolean await(long deadline) {
        boolean interrupted = false;
        try {
            synchronized (this) {
                while (state == State.PENDING) {
                    long left = deadline - System.nanoTime();
                    if (left <= 0) {
                        return false;
                    }
                    try {
                        wait(left / 1_000_000, (int) (left % 1_000_000));
                    } catch (InterruptedException e) {
                        interrupted = true;
                    }
                }
                return true;
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Gives the call up, unless it has ended. After that its sink is not touched any more. */
    public void giveUp() {
        if (finish(State.GIVEN_UP, 0, "given up")) {
            connection.reset(this);
        }
    }

    public synchronized State state() {
        return state;
    }

    /** The status that the sidecar sent, if it did. */
    public synchronized int status() {
        return status;
    }

    /** What goes with the state, in words. */
    public synchronized String message() {
        return message;
    }

    /** Whether anything of the answer has come: whoever answers lives. */
    public synchronized boolean heard() {
        return heard;
    }

    /** When something of the answer came last, or the call began, as System.nanoTime() has it. */
    public long progress() {
        return progress;
    }

    /** When the call was made, as System.nanoTime() has it. */
    public long begun() {
        return begun;
    }

    /** When anything at all came over its connection, since the call was made; or that time. */
    public long heardAt() {
        long at = connection == null ? begun : connection.heardAt();
        return at - begun > 0 ? at : begun;
    }

    // What follows is called by the connection's thread.

    synchronized void data(java.nio.ByteBuffer in) throws ProtocolException {
        if (state == State.PENDING) {
            progress = System.nanoTime();
            heard = true;
            sink.data(in);
        }
    }

    synchronized void headers(int http) {
        heard = true;
        progress = System.nanoTime();
        if (http >= 0) {
            httpStatus = http;
        }
    }

    /** The answer is over: grpcStatus is below 0 if none came. */
    synchronized void end(int grpcStatus, String text) {
        if (state != State.PENDING) {
            return;
        }
        heard = true;
        if (grpcStatus < 0) {
            finish(State.REFUSED, 2, httpStatus == 200 ? "the answer has no status" : "HTTP status " + httpStatus + ": is this the address of the gRPC door?");
        } else if (grpcStatus > 0) {
            finish(State.REFUSED, grpcStatus, text);
        } else {
            try {
                sink.close();
                finish(State.ANSWERED, 0, "");
            } catch (ProtocolException e) {
                finish(State.SENSELESS, 0, e.getMessage());
            }
        }
    }

    synchronized boolean finish(State end, int grpcStatus, String text) {
        if (state != State.PENDING) {
            return false;
        }
        state = end;
        status = grpcStatus;
        message = text;
        notifyAll();
        return true;
    }
}
