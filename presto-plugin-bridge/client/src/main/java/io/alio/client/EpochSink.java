package io.alio.client;

import io.alio.client.transport.ProtocolException;
import io.alio.client.transport.Sink;
import io.alio.client.wire.Replies;
import java.nio.ByteBuffer;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** Takes the messages of a Watch and hands them to the thread that waits for them: what they say is not worked out on the connection's thread, which others' answers come by. */
final class EpochSink extends Sink {
    private final LinkedBlockingQueue<Replies.Watched> queue = new LinkedBlockingQueue<>();
    private final AtomicLong queued = new AtomicLong(); // bytes
    private final int most;
    private byte[] message;
    private int have;

    /** @param most the most bytes that wait */
    EpochSink(int most) {
        this.most = most;
    }

    /** The next message; null: none has come in that time. */
    Replies.Watched poll(long nanos) throws InterruptedException {
        Replies.Watched m = queue.poll(nanos, TimeUnit.NANOSECONDS);
        if (m != null) {
            queued.addAndGet(-m.data.length);
        }
        return m;
    }

    boolean isEmpty() {
        return queue.isEmpty();
    }

    @Override
    protected void begin(long length) throws ProtocolException {
        if (length + queued.get() > most) {
            throw new ProtocolException("epochs come faster than they are taken");
        }
        message = new byte[(int) length];
        have = 0;
    }

    @Override
    protected void piece(ByteBuffer piece) {
        int n = piece.remaining();
        piece.get(message, have, n);
        have += n;
    }

    @Override
    protected void end() throws ProtocolException {
        Replies.Watched m = Replies.Watched.parse(message);
        message = null;
        queued.addAndGet(m.data.length);
        queue.add(m);
    }

    @Override
    protected void complete() {
        // the thread sees that the call has ended
    }
}
