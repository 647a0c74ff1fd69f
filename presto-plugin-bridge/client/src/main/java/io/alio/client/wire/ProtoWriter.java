package io.alio.client.wire;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Writes protobuf. What is proto3's default is left out. */
public final class ProtoWriter {
    private byte[] b;
    private int n;

    public ProtoWriter() {
        this(128);
    }

    public ProtoWriter(int capacity) {
        b = new byte[capacity];
    }

    public byte[] toByteArray() {
        return n == b.length ? b : Arrays.copyOf(b, n);
    }

    private void room(int more) {
        if (b.length - n < more) {
            b = Arrays.copyOf(b, Math.max(2 * b.length, n + more));
        }
    }

    void varint(long v) {
        room(10);
        while ((v & ~127L) != 0) {
            b[n++] = (byte) (v | 128);
            v >>>= 7;
        }
        b[n++] = (byte) v;
    }

    private void tag(int field, int type) {
        varint(field << 3 | type);
    }

    void number(int field, long v) {
        if (v != 0) {
            tag(field, 0);
            varint(v);
        }
    }

    void bool(int field, boolean v) {
        number(field, v ? 1 : 0);
    }

    void string(int field, String v) {
        if (!v.isEmpty()) {
            bytes(field, v.getBytes(StandardCharsets.UTF_8));
        }
    }

    void bytes(int field, byte[] v) {
        bytes(field, v, 0, v.length);
    }

    void bytes(int field, byte[] v, int offset, int length) {
        tag(field, 2);
        varint(length);
        room(length);
        System.arraycopy(v, offset, b, n, length);
        n += length;
    }

    void message(int field, ProtoWriter m) {
        bytes(field, m.b, 0, m.n);
    }

    /** Numbers one after the other, each as a varint. */
    void packed(int field, int[] v) {
        ProtoWriter p = new ProtoWriter(v.length * 2 + 8);
        for (int x : v) {
            p.varint(x & 0xffffffffL);
        }
        message(field, p);
    }

    /** Numbers one after the other, each in four bytes. */
    void packedFixed32(int field, int[] v) {
        tag(field, 2);
        varint(4L * v.length);
        room(4 * v.length);
        for (int x : v) {
            little(x, 4);
        }
    }

    private void little(long v, int bytes) {
        for (int i = 0; i < bytes; i++) {
            b[n++] = (byte) (v >>> 8 * i);
        }
    }
}
