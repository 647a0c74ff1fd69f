package io.alio.client.wire;

import io.alio.client.transport.ProtocolException;
import io.alio.client.transport.Sink;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Takes the messages of a Read: the bytes of the file go from the connection's buffer to where the caller wants them, and nowhere else. It relies on data
 * being each message's last field, as alio.proto promises.
 */
public final class ReadSink extends Sink {
    private static final int DATA = 15;
    private static final int MOST_HEAD = 64 << 10;

    private final ByteBuffer target;
    private final Check check;
    private byte[] head = new byte[64]; // of the message, until its data begins
    private int have;
    private long left; // bytes of the message that have not come
    private boolean inData;
    private boolean first = true;

    /** Compares what the first message says of the object with what was asked for. */
    public interface Check {
        void first(Replies.ObjectInfo object, long offset, long length) throws ProtocolException;
    }

    /** @param target gets the bytes; the read is right only if it is full in the end */
    public ReadSink(ByteBuffer target, Check check) {
        this.target = target;
        this.check = check;
    }

    @Override
    protected void begin(long length) {
        left = length;
        have = 0;
        inData = false;
    }

    @Override
    protected void piece(ByteBuffer in) throws ProtocolException {
        if (!inData) {
            head(in);
        }
        if (in.remaining() > target.remaining()) {
            throw new ProtocolException("the sidecar sent more bytes than were asked for");
        }
        left -= in.remaining();
        target.put(in);
    }

    /** Takes what belongs to the head. */
    private void head(ByteBuffer in) throws ProtocolException {
        int n = Math.min(in.remaining(), MOST_HEAD - have);
        if (n == 0) {
            throw new ProtocolException("the head of an answer is too long");
        }
        if (head.length < have + n) {
            head = Arrays.copyOf(head, Math.max(2 * head.length, have + n));
        }
        in.get(head, have, n);
        left -= n;
        int before = have;
        have += n;
        ProtoReader r = new ProtoReader(head, 0, have);
        int at = 0; // where the last whole field ends
        try {
            while (r.next()) {
                if (r.field() == DATA) {
                    long length = r.varint();
                    if (length != left + have - r.at()) {
                        throw new IllegalStateException("data is not the last field");
                    }
                    inData = true;
                    in.position(in.position() - n + r.at() - before);
                    left += have - r.at();
                    takeHead(at);
                    return;
                }
                r.skip();
                at = r.at();
            }
        } catch (IllegalStateException e) {
            throw new ProtocolException("the sidecar's answer has its data in another place");
        } catch (ProtocolException e) {
            if (inData || left == 0) {
                throw e;
            } // else it goes on
        }
    }

    private void takeHead(int length) throws ProtocolException {
        if (!first) {
            return;
        }
        first = false;
        Replies.ObjectInfo object = null;
        long offset = 0;
        long size = 0;
        ProtoReader r = new ProtoReader(head, 0, length);
        while (r.next()) {
            switch (r.field()) {
                case 1:
                    object = Replies.ObjectInfo.parse(r.message());
                    break;
                case 2:
                    offset = r.number();
                    break;
                case 3:
                    size = r.number();
                    break;
                default:
                    r.skip();
            }
        }
        check.first(object, offset, size);
    }

    @Override
    protected void end() throws ProtocolException {
        if (!inData && have > 0) { // a message without data
            takeHead(have);
        }
    }

    @Override
    protected void complete() throws ProtocolException {
        if (target.hasRemaining() || first) {
            throw new ProtocolException("the sidecar sent " + target.remaining() + " bytes less than were asked for");
        }
    }
}
