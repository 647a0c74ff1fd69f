package io.alio.client.transport;

import java.nio.ByteBuffer;

/** Takes an answer of one message. */
public final class MessageSink extends Sink {
    private final int limit;
    private byte[] message;
    private int have;
    private boolean ended;

    /** @param limit the most bytes that the message may have */
    public MessageSink(int limit) {
        this.limit = limit;
    }

    /** The message, once the call has ended with status OK. */
    public byte[] message() {
        return message;
    }

    @Override
    protected void begin(long length) throws ProtocolException {
        if (message != null) {
            throw new ProtocolException("the sidecar answered twice");
        }
        if (length > limit) {
            throw new ProtocolException("the sidecar's answer of " + length + " bytes is larger than " + limit);
        }
        message = new byte[(int) length];
    }

    @Override
    protected void piece(ByteBuffer piece) {
        int n = piece.remaining();
        piece.get(message, have, n);
        have += n;
    }

    @Override
    protected void end() {
        ended = true;
    }

    @Override
    protected void complete() throws ProtocolException {
        if (!ended) {
            throw new ProtocolException("the sidecar's answer is empty");
        }
    }
}
