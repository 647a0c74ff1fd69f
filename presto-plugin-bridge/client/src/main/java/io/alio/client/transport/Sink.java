package io.alio.client.transport;

import java.nio.ByteBuffer;

/**
 * Takes the bytes of a call's answer: gRPC messages, each after its five bytes of prefix. It runs on the connection's thread under the call's lock, and
 * never after the call has ended: so it may write into a buffer that is the caller's again once the call is over.
 */
public abstract class Sink {
    private static final int PREFIX = 5;

    private final byte[] prefix = new byte[PREFIX];
    private int have; // bytes of the prefix
    private long left; // bytes of the message

    /** A message of so many bytes begins. */
    protected abstract void begin(long length) throws ProtocolException;

    /** Takes all bytes of piece, which belong to the message that began last. */
    protected abstract void piece(ByteBuffer piece) throws ProtocolException;

    /** The message has ended. */
    protected abstract void end() throws ProtocolException;

    /** The answer is over, with status OK. */
    protected abstract void complete() throws ProtocolException;

    final void data(ByteBuffer in) throws ProtocolException {
        while (in.hasRemaining()) {
            if (left == 0) {
                prefix[have++] = in.get();
                if (have < PREFIX) {
                    continue;
                }
                startMessage();
            } else {
                int n = (int) Math.min(left, in.remaining());
                int limit = in.limit();
                in.limit(in.position() + n);
                piece(in);
                in.position(in.limit());
                in.limit(limit);
                left -= n;
            }
            if (left == 0) {
                have = 0;
                end();
            }
        }
    }

    private void startMessage() throws ProtocolException {
        if (prefix[0] != 0) {
            throw new ProtocolException("the sidecar sent a compressed message, which was not asked for");
        }
        left = ByteBuffer.wrap(prefix, 1, 4).getInt() & 0xffffffffL;
        begin(left);
    }

    final void close() throws ProtocolException {
        if (have > 0) {
            throw new ProtocolException("the sidecar's answer ends within a message");
        }
        complete();
    }
}
