package io.alio.client;

import io.alio.client.transport.Call;
import io.alio.client.transport.Channel;
import io.alio.client.transport.Endpoint;
import io.alio.client.transport.MessageSink;
import io.alio.client.transport.Sink;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;

/** Calls to the sidecar: each has a deadline, and who does not answer is not called for a while. */
final class Control {
    /** How a call is waited for. */
    static final class Patience {
        final long deadline; // nanoseconds, for each sign of progress
        final boolean doubt; // ask whether the sidecar lives, when the control deadline is over, and give the call up if not: it may wait for the origin
        final boolean optional; // it does not count as a failure when it is late: nobody needed the answer

        Patience(long deadline, boolean doubt, boolean optional) {
            this.deadline = deadline;
            this.doubt = doubt;
            this.optional = optional;
        }
    }

    private static final String SERVICE = "alio.v1.Sidecar";
    private static final int MAX_ANSWER = 64 << 20; // an OpenReply for a large batch
    private static final long CONNECT = 250_000_000; // for the first call over a connection, besides
    private static final long DOUBT_AGAIN = 500_000_000; // after a probe that was answered
    private static final long SLICE = 50_000_000; // after which an interruption is looked for
    private static final byte[] NOTHING = {};

    private final AlioOptions options;
    private final Channel channel;
    private final Counters counters;
    private final Warnings warnings;
    private final Executor background;
    private final Patience trial;
    final Breaker breaker;
    private volatile boolean closed;

    final Patience control; // for what needs no origin
    final Patience optional;
    final Patience origin; // for what may need it

    Control(AlioOptions options, Counters counters, Warnings warnings, Executor background) {
        this.options = options;
        this.background = background;
        this.counters = counters;
        this.warnings = warnings;
        Endpoint e = options.isSocket() ? Endpoint.unix(options.address()) : Endpoint.tcp(options.address());
        channel = new Channel(e, SERVICE, options.token(), options.backoffNanos());
        breaker = new Breaker(options.backoffNanos());
        trial = new Patience(Math.max(options.controlNanos(), CONNECT), false, false);
        control = new Patience(options.controlNanos(), false, false);
        optional = new Patience(options.controlNanos(), false, true);
        origin = new Patience(options.readNanos(), true, false);
    }

    void close() {
        closed = true;
        channel.close();
    }

    boolean isClosed() {
        return closed;
    }

    /** Makes a call that is answered by one message. */
    byte[] call(String method, byte[] request, Patience p) throws Failure {
        MessageSink sink = new MessageSink(MAX_ANSWER);
        try {
            call(method, request, sink, p);
        } catch (Failure e) {
            throw e.reason() == Unavailable.UNSUPPORTED && (method.equals("Status") || method.equals("Open")) ? foreign(e) : e;
        }
        return sink.message();
    }

    /** Makes a call whose answer goes into sink, which is the caller's again when this returns. */
    void call(String method, byte[] request, Sink sink, Patience p) throws Failure {
        if (closed) {
            throw new Failure(Unavailable.CLOSED, "the client is closed");
        }
        boolean open = breaker.isOpen();
        long wait = breaker.allow();
        if (wait > 0) {
            counters.notTried.increment();
            throw unavailable(breaker.last() + "; it is tried again in " + wait / 1_000_000 + " ms");
        }
        if (open && (p.doubt || p.optional)) { // whoever has another way does not wait for what the trial finds
            counters.notTried.increment();
            tryInBackground();
            throw unavailable(breaker.last() + "; it is being tried again");
        }
        make(method, request, sink, p);
    }

    private void tryInBackground() {
        try {
            background.execute(() -> {
                try {
                    make("Status", NOTHING, new MessageSink(MAX_ANSWER), trial);
                } catch (Failure e) {
                    // it was counted, and the breaker knows
                }
            });
        } catch (RejectedExecutionException e) {
            // the client is closed
        }
    }

    private void make(String method, byte[] request, Sink sink, Patience p) throws Failure {
        Call c = channel.call(method, request, sink, System.nanoTime() + Math.max(CONNECT, p.doubt ? 0 : p.deadline));
        boolean late = !finished(c, p);
        if (!late && c.lost()) { // once more over a new connection: a thread's interruption may have closed this one, or the sidecar's restart
            c = channel.call(method, request, sink, System.nanoTime() + Math.max(CONNECT, p.doubt ? 0 : p.deadline));
            late = !finished(c, p);
        }
        if (late) {
            c.giveUp();
        }
        judge(c, late, p);
    }

    /** Waits for the call; false: it is not worth it any more. */
    private boolean finished(Call c, Patience p) throws Failure {
        long doubtAt = System.nanoTime() + options.controlNanos();
        boolean grace = true;
        while (true) {
            long now = System.nanoTime();
            long until = Math.min(c.progress() + p.deadline, p.doubt ? Math.min(doubtAt, now + SLICE) : Long.MAX_VALUE);
            if (c.await(until)) {
                return true;
            }
            now = System.nanoTime();
            if (grace && now - until > options.controlNanos()) { // it was this process that slept: what has come meanwhile may not be read yet
                grace = false;
                doubtAt = now + options.controlNanos();
                if (c.await(doubtAt)) {
                    return true;
                }
                continue;
            }
            if (now - c.progress() >= p.deadline) {
                return false;
            }
            if (p.doubt && Thread.currentThread().isInterrupted()) {
                c.giveUp();
                throw new Failure(Unavailable.UNREACHABLE, "the thread was interrupted");
            }
            if (p.doubt && now - doubtAt >= 0) {
                if (now - c.progress() > options.controlNanos() && !lives(c)) {
                    return c.state() != Call.State.PENDING;
                }
                doubtAt = System.nanoTime() + DOUBT_AGAIN;
            }
        }
    }

    /** Asks whether the sidecar lives while c is under way; also true if c has ended meanwhile. */
    private boolean lives(Call c) {
        long until = System.nanoTime() + options.controlNanos();
        Call probe = channel.call("Status", NOTHING, new MessageSink(MAX_ANSWER), until);
        if (c.await(until) && c.state() != Call.State.PENDING) {
            probe.giveUp();
            return true;
        }
        boolean alive = probe.heard() || probe.state() == Call.State.ANSWERED || probe.state() == Call.State.REFUSED;
        if (probe.state() == Call.State.PENDING) {
            probe.giveUp();
        }
        return alive;
    }

    private void judge(Call c, boolean late, Patience p) throws Failure {
        Call.State state = c.state();
        String why = c.message();
        if (late || state == Call.State.GIVEN_UP) {
            counters.late.increment();
            why = "the sidecar did not answer in time";
            if (p.optional) {
                throw unavailable(why);
            }
        } else if (state == Call.State.UNREACHED) {
            counters.unreached.increment();
            why = "the sidecar cannot be reached: " + why;
        } else {
            breaker.answered();
            if (state == Call.State.ANSWERED) {
                counters.answered.increment();
                return;
            }
            counters.refused.increment();
            if (state == Call.State.SENSELESS) {
                counters.senseless.increment();
                throw new Failure(Unavailable.UNREACHABLE, "the sidecar's answer makes no sense: " + why);
            }
            throw Failure.status(c.status(), why);
        }
        if (closed) {
            throw new Failure(Unavailable.CLOSED, "the client is closed");
        }
        if (late && p.doubt) {
            breaker.failed(why); // neither was the question whether it lives
        }
        breaker.failed(why);
        warnings.warn("unreachable", why + " (" + options.address() + "). What is not read locally is read by the engine's own file system until it answers. "
                + "Is the sidecar running there, and is that the address of its gRPC door?");
        throw unavailable(why);
    }

    /** Every sidecar of this version of the API has these methods: one that has not is as good as none. (What one file's origin cannot do, it says of that file.) */
    private Failure foreign(Failure e) {
        String why = e.getMessage() + " (this client speaks " + SERVICE + ")";
        warnings.warn("api", options.address() + " speaks another version of the API: " + why + ". What is not read locally is read by the engine's own file system. "
                + "Install the client of the sidecar's release, or a sidecar of the client's");
        return unavailable(why);
    }

    private Failure unavailable(String why) {
        return new Failure(Unavailable.UNREACHABLE, options.address() + ": " + why);
    }
}
