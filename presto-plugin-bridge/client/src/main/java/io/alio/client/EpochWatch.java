package io.alio.client;

import io.alio.client.ring.InvalidRingException;
import io.alio.client.ring.Ring;
import io.alio.client.transport.Call;
import io.alio.client.wire.Replies;
import io.alio.client.wire.Requests;
import java.io.ByteArrayOutputStream;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;

/**
 * A thread that watches the affinity service and holds the last epoch that was sent, as affinity/follow does in Go. While the service is away the last epoch stays in force, and it is
 * watched anew after pauses of 50 ms to 2 s. A watch is begun anew each half minute besides: of a connection that is half open nothing else would tell.
 */
final class EpochWatch {
    private static final long FIRST_PAUSE = 50_000_000;
    private static final long LAST_PAUSE = 2_000_000_000;
    private static final long CONNECT = 2_000_000_000; // for the connection, and then for the first sign of life
    private static final long RENEW = 30_000_000_000L;
    private static final long SLICE = 100_000_000; // after which it is looked whether the stream has ended
    private static final int MOST_BYTES = 128 << 20; // of an epoch: 65,000 members with the longest names and addresses, and their table

    private final List<Control> controls; // one after the other is asked, from one that fails on
    private final LongAdder epochs;
    private final Warnings warnings;
    private final String addresses;
    private final CountDownLatch first = new CountDownLatch(1);
    private volatile Ring ring;
    private volatile boolean closed;
    private Thread thread;

    /** @param epochs counts those that were taken over */
    EpochWatch(List<Control> controls, LongAdder epochs, Warnings warnings, String addresses) {
        this.controls = controls;
        this.epochs = epochs;
        this.warnings = warnings;
        this.addresses = addresses;
    }

    /** The last epoch that was sent; null before the first. */
    Ring ring() {
        return ring;
    }

    /** The last epoch that was sent, for the first of which it is waited for so long; null: none has come. */
    Ring await(long nanos) throws InterruptedException {
        first.await(nanos, TimeUnit.NANOSECONDS);
        return ring;
    }

    synchronized void start() {
        thread = new Thread(this::run, "alio-client watches epochs");
        thread.setDaemon(true);
        thread.start();
    }

    synchronized void close() {
        closed = true;
        if (thread != null) {
            thread.interrupt();
        }
    }

    private void run() {
        int next = 0;
        for (long pause = FIRST_PAUSE; !closed; pause = Math.min(2 * pause, LAST_PAUSE)) {
            Control control = controls.get(next % controls.size());
            String why;
            try {
                Watching w = new Watching(control);
                why = w.run();
                if (w.took) {
                    pause = FIRST_PAUSE;
                }
            } catch (InterruptedException e) {
                return; // nobody else has this thread
            } catch (RuntimeException e) {
                why = e.toString();
            }
            if (why != null) {
                next++;
                warnings.warn("watch", addresses + ": the watch of epochs ended; " + (ring == null ? "none has come yet" : "the last one stays in force") + ": " + why);
                if (control.pausedForGood(pause)) {
                    return;
                }
            }
        }
    }

    /** One watch. */
    private final class Watching {
        private final EpochSink sink = new EpochSink(MOST_BYTES);
        private final ByteArrayOutputStream data = new ByteArrayOutputStream(); // of an epoch that is being sent
        private final Control control;
        private boolean took; // at least one epoch

        Watching(Control control) {
            this.control = control;
        }

        /** Takes over epochs until the stream ends, and says why it did; null: it is time for another one. */
        String run() throws InterruptedException {
            Ring held = ring;
            long begun = System.nanoTime();
            Call c = control.open("Watch", Requests.watch(held == null ? new byte[0] : held.hash()), sink, begun + CONNECT);
            try {
                while (true) {
                    Replies.Watched m = sink.poll(SLICE);
                    long lasts = System.nanoTime() - begun;
                    if (m != null) {
                        take(m);
                    } else if (c.state() != Call.State.PENDING && sink.isEmpty()) {
                        return c.message().isEmpty() ? "the service has ended it" : c.message();
                    } else if (!c.heard() && lasts > 2 * CONNECT) {
                        control.drop("nothing is heard of it");
                        return "nothing is heard of the service";
                    } else if (lasts > RENEW && data.size() == 0) {
                        return null;
                    }
                }
            } catch (InvalidRingException e) {
                return e.getMessage();
            } finally {
                c.giveUp();
            }
        }

        private void take(Replies.Watched m) throws InvalidRingException {
            if (data.size() + m.data.length > MOST_BYTES) {
                throw new InvalidRingException("an epoch of more than " + MOST_BYTES + " bytes");
            }
            data.write(m.data, 0, m.data.length);
            if (!m.last) {
                return;
            }
            byte[] all = data.toByteArray();
            data.reset();
            Ring held = ring;
            if (m.edits && held == null) {
                throw new InvalidRingException("a difference came, and there is no epoch that it could lead from");
            }
            ring = m.edits ? held.patch(all) : Ring.decode(all);
            took = true;
            first.countDown();
            epochs.increment();
        }
    }
}
