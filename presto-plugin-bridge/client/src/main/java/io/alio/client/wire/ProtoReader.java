package io.alio.client.wire;

import io.alio.client.transport.ProtocolException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Reads protobuf: {@code while (r.next()) switch (r.field()) …; default: r.skip()}. */
public final class ProtoReader {
    private final byte[] b;
    private int at;
    private final int end;
    private int field;
    private int type;

    public ProtoReader(byte[] b) {
        this(b, 0, b.length);
    }

    ProtoReader(byte[] b, int from, int end) {
        this.b = b;
        this.at = from;
        this.end = end;
    }

    boolean next() throws ProtocolException {
        if (at == end) {
            return false;
        }
        long tag = varint();
        field = (int) (tag >>> 3);
        type = (int) (tag & 7);
        if (field <= 0 || tag >>> 32 != 0) {
            throw new ProtocolException("a field has no number");
        }
        return true;
    }

    int field() {
        return field;
    }

    /** Where the reader is. */
    int at() {
        return at;
    }

    long varint() throws ProtocolException {
        long v = 0;
        for (int shift = 0; shift < 70; shift += 7) {
            if (at == end) {
                throw truncated();
            }
            byte x = b[at++];
            v |= (x & 127L) << shift;
            if (x >= 0) {
                return v;
            }
        }
        throw new ProtocolException("a number is too long");
    }

    static ProtocolException truncated() {
        return new ProtocolException("a message ends within a field");
    }

    private void want(int t) throws ProtocolException {
        if (type != t) {
            throw new ProtocolException("field " + field + " is of wire type " + type + ", not " + t);
        }
    }

    long number() throws ProtocolException {
        want(0);
        return varint();
    }

    int int32() throws ProtocolException {
        return (int) number();
    }

    boolean bool() throws ProtocolException {
        return number() != 0;
    }

    long fixed64() throws ProtocolException {
        want(1);
        return fixed(8);
    }

    private long fixed(int bytes) throws ProtocolException {
        if (end - at < bytes) {
            throw truncated();
        }
        long v = 0;
        for (int i = 0; i < bytes; i++) {
            v |= (b[at++] & 255L) << 8 * i;
        }
        return v;
    }

    int length() throws ProtocolException {
        want(2);
        long n = varint();
        if (n < 0 || n > end - at) {
            throw truncated();
        }
        return (int) n;
    }

    String string() throws ProtocolException {
        int n = length();
        at += n;
        return new String(b, at - n, n, StandardCharsets.UTF_8);
    }

    byte[] bytes() throws ProtocolException {
        int n = length();
        at += n;
        return Arrays.copyOfRange(b, at - n, at);
    }

    ProtoReader message() throws ProtocolException {
        int n = length();
        at += n;
        return new ProtoReader(b, at - n, at);
    }

    /** Appends to list the numbers of a repeated field, which may come packed or one by one. */
    int[] repeated(int[] list) throws ProtocolException {
        if (type != 2) {
            int[] out = Arrays.copyOf(list, list.length + 1);
            out[list.length] = int32();
            return out;
        }
        ProtoReader r = message();
        int count = 0;
        for (int i = r.at; i < r.end; i++) {
            count += b[i] >= 0 ? 1 : 0;
        }
        int[] out = Arrays.copyOf(list, list.length + count);
        for (int i = list.length; r.at < r.end; i++) {
            if (i == out.length) {
                throw truncated();
            }
            out[i] = (int) r.varint();
        }
        return out;
    }

    void skip() throws ProtocolException {
        switch (type) {
            case 0:
                varint();
                break;
            case 1:
                fixed(8);
                break;
            case 2:
                int n = length(); // moves at
                at += n;
                break;
            case 5:
                fixed(4);
                break;
            default:
                throw new ProtocolException("wire type " + type);
        }
    }
}
