package io.alio.client.wire;

import java.util.List;

/** The requests. */
public final class Requests {
    private Requests() {}

    /** ClientFill; null where there is none. */
    public static ProtoWriter fill(String kind, String version, long size) {
        ProtoWriter w = new ProtoWriter();
        w.string(1, kind);
        w.string(2, version);
        w.number(3, size);
        return w;
    }

    /** OpenFile. Ranges are pairs of offset and length. */
    public static ProtoWriter openFile(String mount, String path, String etag, List<long[]> ranges, ProtoWriter fill, boolean claim) {
        ProtoWriter w = new ProtoWriter();
        w.string(1, mount);
        w.string(2, path);
        w.string(3, etag);
        for (long[] range : ranges) {
            ProtoWriter r = new ProtoWriter();
            r.number(1, range[0]);
            r.number(2, range[1]);
            w.message(4, r);
        }
        if (fill != null) {
            w.message(5, fill);
        }
        w.bool(6, claim);
        return w;
    }

    /** OpenRequest. touches may be null. */
    public static byte[] open(List<ProtoWriter> files, long generation, ProtoWriter touches, String tag) {
        ProtoWriter w = new ProtoWriter(512);
        for (ProtoWriter f : files) {
            w.message(1, f);
        }
        w.number(2, generation);
        if (touches != null) {
            w.message(3, touches);
        }
        w.string(4, tag);
        return w.toByteArray();
    }

    /** Touches: keys of 16 bytes each. */
    public static ProtoWriter touches(byte[] keys, int[] counts, long bytes) {
        ProtoWriter w = new ProtoWriter(keys.length + 2 * counts.length + 32);
        w.bytes(1, keys);
        w.packed(2, counts);
        w.number(3, bytes);
        return w;
    }

    /** ReadRequest. */
    public static byte[] read(String mount, String path, String version, String etag, long offset, long length, ProtoWriter fill, String tag) {
        ProtoWriter w = new ProtoWriter(256);
        w.string(1, mount);
        w.string(2, path);
        w.string(3, version);
        w.string(4, etag);
        w.number(5, offset);
        w.number(6, length);
        if (fill != null) {
            w.message(8, fill);
        }
        w.string(9, tag);
        return w.toByteArray();
    }

    /** PutPage: a page of b. */
    public static ProtoWriter putPage(long offset, byte[] key, int[] sums, byte[] b, int from, int length) {
        ProtoWriter w = new ProtoWriter(length + 128);
        w.number(1, offset);
        w.bytes(2, key);
        w.packedFixed32(3, sums);
        w.bytes(15, b, from, length);
        return w;
    }

    /** PutRequest. No pages give the claim back. */
    public static byte[] put(String mount, String path, ProtoWriter fill, byte[] token, List<ProtoWriter> pages) {
        ProtoWriter w = new ProtoWriter(512);
        w.string(1, mount);
        w.string(2, path);
        w.message(3, fill);
        w.bytes(4, token);
        for (ProtoWriter p : pages) {
            w.message(5, p);
        }
        return w.toByteArray();
    }

    /** StatRequest. */
    public static byte[] stat(String mount, String path) {
        ProtoWriter w = new ProtoWriter();
        w.string(1, mount);
        w.string(2, path);
        return w.toByteArray();
    }

    /** ListRequest. */
    public static byte[] list(String mount, String prefix, String delimiter, String startAfter, String token, int maxKeys) {
        ProtoWriter w = new ProtoWriter();
        w.string(1, mount);
        w.string(2, prefix);
        w.string(3, delimiter);
        w.string(4, startAfter);
        w.string(5, token);
        w.number(6, maxKeys);
        return w.toByteArray();
    }

    /** InvalidateRequest. */
    public static byte[] invalidate(String mount, String path, boolean prefix) {
        ProtoWriter w = new ProtoWriter();
        w.string(1, mount);
        w.string(2, path);
        w.bool(3, prefix);
        return w.toByteArray();
    }

    /** Split. */
    public static ProtoWriter split(String mount, String path, long offset, long length) {
        ProtoWriter w = new ProtoWriter();
        w.string(1, mount);
        w.string(2, path);
        w.number(3, offset);
        w.number(4, length);
        return w;
    }

    /** AssignRequest. */
    public static byte[] assign(List<ProtoWriter> splits, int owners) {
        ProtoWriter w = new ProtoWriter(128 * splits.size() + 16);
        for (ProtoWriter s : splits) {
            w.message(1, s);
        }
        w.number(2, owners);
        return w.toByteArray();
    }

    /** WatchRequest. */
    public static byte[] watch(byte[] hash) {
        ProtoWriter w = new ProtoWriter();
        if (hash.length > 0) {
            w.bytes(1, hash);
        }
        return w.toByteArray();
    }
}
