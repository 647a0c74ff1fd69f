package io.alio.client;

import io.alio.client.transport.Call;
import io.alio.client.transport.Channel;
import io.alio.client.transport.Endpoint;
import io.alio.client.transport.MessageSink;
import io.alio.client.transport.Sink;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** Calls to the sidecar: each has a deadline, and who does not answer is not called but to find out whether it lives. */
final class Control {
    /** How a call is waited for. */
    static final class Patience {
        final long deadline; // nanoseconds, for each sign of progress
        final boolean origin; // it may wait for the origin: it is given up sooner, when nothing at all is heard of the sidecar within the control deadline
        final boolean insists; // where the sidecar is suspect it waits for the verdict, at most its deadline

        private Patience(long deadline, boolean origin, boolean insists) {
            this.deadline = deadline;
            this.origin = origin;
            this.insists = insists;
        }

        static Patience of(long nanos) {
            return new Patience(nanos, false, false);
        }
    }

    /** What is called, and what those do who would call it while it does not answer. */
    enum Service {
        SIDECAR("alio.v1.Sidecar", "What is not read locally is read by the engine's own file system", 250_000_000),
        AFFINITY("alio.v1.Affinity", "Splits are placed by the last epoch that is known here, else by the engine", 0);

        final String name;
        final String otherwise;
        final long connect; // for the client's first connection, besides: it starts threads and loads classes

        Service(String name, String otherwise, long connect) {
            this.name = name;
            this.otherwise = otherwise;
            this.connect = connect;
        }
    }

    private static final int MAX_ANSWER = 64 << 20; // an OpenReply for a large batch
    private static final long FIRST_PAUSE = 50_000_000; // between two attempts to connect
    private static final long SLICE = 50_000_000; // after which an interruption is looked for
    private static final int ASK_AFTER = 4; // part of the control deadline for which nothing is heard before the sidecar is asked whether it lives
    private static final byte[] NOTHING = {};

    private final AlioOptions options;
    private final Service service;
    private final Channel channel;
    private final Counters counters;
    private final Warnings warnings;
    private final AtomicReference<Call> asked = new AtomicReference<>(); // a Status for all who wait and hear nothing
    private final CountDownLatch closing = new CountDownLatch(1);
    final Breaker breaker = new Breaker();

    final Patience control; // for what needs no origin
    final Patience insisting; // for what somebody relies on
    final Patience origin; // for what may need it
    final Patience onlyWay; // for the same, where there is no other way

    Control(AlioOptions options, Service service, Counters counters, Warnings warnings) {
        this.options = options;
        this.service = service;
        this.counters = counters;
        this.warnings = warnings;
        Endpoint e = options.isSocket() ? Endpoint.unix(options.address()) : Endpoint.tcp(options.address(), options.tls());
        channel = new Channel(e, service.name, options.token());
        control = Patience.of(options.controlNanos());
        insisting = new Patience(options.controlNanos(), false, true);
        origin = new Patience(options.readNanos(), true, false);
        onlyWay = new Patience(options.readNanos(), true, true);
    }

    void close() {
        closing.countDown();
        channel.close();
    }

    boolean isClosed() {
        return closing.getCount() == 0;
    }

    /** Begins a call whose answer goes on, and which nobody waits for: it says nothing about whether others may be made. The caller gives it up. */
    Call open(String method, byte[] request, Sink sink, long deadline) {
        return channel.call(method, request, sink, deadline);
    }

    /** Gives the connection up: the next call makes another. */
    void drop(String why) {
        channel.drop(why);
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
        if (isClosed()) {
            throw new Failure(Unavailable.CLOSED, "the client is closed");
        }
        if (!breaker.allows() && !(p.insists && breaker.await(System.nanoTime() + p.deadline))) {
            counters.notTried.increment();
            throw unavailable(breaker.last() + "; it is being asked whether it lives");
        }
        long begun = System.nanoTime();
        Call c = begin(method, request, sink, p);
        boolean late = !finished(c, p);
        if (!late && c.lost()) { // once more over a new connection: a thread's interruption may have closed this one, or the sidecar's restart
            c = begin(method, request, sink, p);
            late = !finished(c, p);
        }
        if (late) {
            c.giveUp();
        }
        judge(c, late, begun);
    }

    /** Sends a request. Who may wait for the origin does not wait for longer than others until it is sent. */
    private Call begin(String method, byte[] request, Sink sink, Patience p) {
        long patience = p.origin ? Math.min(p.deadline, options.controlNanos()) : p.deadline;
        return channel.call(method, request, sink, System.nanoTime() + (channel.wasConnected() ? patience : Math.max(patience, service.connect)));
    }

    /** Waits for the call; false: it is not worth it any more. */
    private boolean finished(Call c, Patience p) throws Failure {
        long limit = options.controlNanos();
        long awake = c.begun(); // silence before that does not count
        long asking = awake; // when the sidecar was asked last whether it lives
        boolean grace = true;
        while (true) {
            long now = System.nanoTime();
            long until = c.progress() + p.deadline;
            if (p.origin) {
                long quiet = later(c.heardAt(), awake);
                boolean waits = asking - quiet > 0;
                long doubtAt = waits ? later(quiet + limit, asking + limit - limit / ASK_AFTER) : quiet + limit / ASK_AFTER;
                if (waits && now - doubtAt >= 0) {
                    return c.state() != Call.State.PENDING;
                }
                if (now - doubtAt >= 0) {
                    asking = now;
                    askWhetherItLives(quiet + limit);
                    continue;
                }
                until = sooner(until, sooner(doubtAt, now + SLICE));
            }
            if (c.await(until)) {
                return true;
            }
            now = System.nanoTime();
            if (grace && now - until > limit) { // it was this process that slept: what has come meanwhile may not be read yet
                grace = false;
                awake = now;
                if (c.await(now + limit / ASK_AFTER)) {
                    return true;
                }
            } else if (now - c.progress() >= p.deadline) {
                return false;
            }
            if (p.origin && Thread.currentThread().isInterrupted()) {
                c.giveUp();
                throw new Failure(Unavailable.UNREACHABLE, "the thread was interrupted");
            }
        }
    }

    private static long later(long a, long b) {
        return a - b > 0 ? a : b;
    }

    private static long sooner(long a, long b) {
        return a - b < 0 ? a : b;
    }

    /** Has a Status under way, one for all who wait: they hear its answer on the connection. */
    private void askWhetherItLives(long deadline) {
        Call before = asked.get();
        if (before != null && before.state() == Call.State.PENDING && System.nanoTime() - before.begun() < options.controlNanos()) {
            return;
        }
        Call c = channel.call("Status", NOTHING, new MessageSink(MAX_ANSWER), deadline);
        if (asked.compareAndSet(before, c)) {
            if (before != null) {
                before.giveUp();
            }
        } else {
            c.giveUp();
        }
    }

    private void judge(Call c, boolean late, long begun) throws Failure {
        Call.State state = c.state();
        String why = c.message();
        if (late || state == Call.State.GIVEN_UP) {
            counters.late.increment();
            why = "the sidecar did not answer in time";
        } else if (state == Call.State.UNREACHED) {
            counters.unreached.increment();
            why = "the sidecar cannot be reached: " + why;
        } else {
            breaker.answered(c.progress());
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
        if (isClosed()) {
            throw new Failure(Unavailable.CLOSED, "the client is closed");
        }
        long suspicion = breaker.failed(begun, why);
        if (suspicion != 0) {
            Thread t = new Thread(() -> findOut(suspicion), "alio-client asks whether the sidecar lives"); // those of the background may be waiting for it
            t.setDaemon(true);
            t.start();
        }
        throw unavailable(why);
    }

    /**
     * Asks for the sidecar's status until it answers. A question stays open for as long as a pause would be: one that hung and goes on is believed at once. Only
     * where there is no connection are there pauses.
     */
    private void findOut(long suspicion) {
        boolean open = false;
        long pause = Math.min(FIRST_PAUSE, options.backoffNanos());
        while (breaker.isUnder(suspicion)) {
            long deadline = System.nanoTime() + (open ? options.backoffNanos() : options.controlNanos());
            counters.questions.increment();
            Call c = channel.call("Status", NOTHING, new MessageSink(MAX_ANSWER), deadline);
            boolean ended = c.await(deadline);
            c.giveUp();
            if (c.heard()) {
                breaker.answered(System.nanoTime());
                return;
            }
            if (!open && breaker.confirm(suspicion)) {
                warnings.warn("unreachable", breaker.last() + " (" + options.address() + "). " + service.otherwise + " until it answers. Is the sidecar running there, and is that the address of its gRPC door?");
            }
            open = true;
            if (ended && pausedForGood(pause)) {
                return;
            }
            pause = ended ? Math.min(2 * pause, options.backoffNanos()) : pause;
        }
    }

    /** Waits; whether the client was closed meanwhile. */
    boolean pausedForGood(long nanos) {
        try {
            return closing.await(nanos, TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) { // nobody has this thread but for a JVM that ends
            return true;
        }
    }

    /** Every sidecar of this version of the API has these methods: one that has not is as good as none. (What one file's origin cannot do, it says of that file.) */
    private Failure foreign(Failure e) {
        String why = e.getMessage() + " (this client speaks " + service.name + ")";
        warnings.warn("api", options.address() + " speaks another version of the API: " + why + ". " + service.otherwise + ". Install the client of the sidecar's release, or a sidecar of the client's");
        return unavailable(why);
    }

    private Failure unavailable(String why) {
        return new Failure(Unavailable.UNREACHABLE, options.address() + ": " + why);
    }
}
