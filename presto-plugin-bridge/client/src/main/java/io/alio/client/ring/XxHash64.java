package io.alio.client.ring;

/** XXH64 with seed 0, by its specification (Yann Collet, github.com/Cyan4973/xxHash, doc/xxhash_spec.md). */
final class XxHash64 {
    private static final long P1 = 0x9E3779B185EBCA87L;
    private static final long P2 = 0xC2B2AE3D27D4EB4FL;
    private static final long P3 = 0x165667B19E3779F9L;
    private static final long P4 = 0x85EBCA77C2B2AE63L;
    private static final long P5 = 0x27D4EB2F165667C5L;

    private XxHash64() {}

    static long hash(byte[] b, int length) {
        int at = 0;
        long h;
        if (length >= 32) {
            long v1 = P1 + P2;
            long v2 = P2;
            long v3 = 0;
            long v4 = -P1;
            for (; length - at >= 32; at += 32) {
                v1 = round(v1, word(b, at));
                v2 = round(v2, word(b, at + 8));
                v3 = round(v3, word(b, at + 16));
                v4 = round(v4, word(b, at + 24));
            }
            h = Long.rotateLeft(v1, 1) + Long.rotateLeft(v2, 7) + Long.rotateLeft(v3, 12) + Long.rotateLeft(v4, 18);
            h = (h ^ round(0, v1)) * P1 + P4;
            h = (h ^ round(0, v2)) * P1 + P4;
            h = (h ^ round(0, v3)) * P1 + P4;
            h = (h ^ round(0, v4)) * P1 + P4;
        } else {
            h = P5;
        }
        h += length;
        for (; length - at >= 8; at += 8) {
            h = Long.rotateLeft(h ^ round(0, word(b, at)), 27) * P1 + P4;
        }
        if (length - at >= 4) {
            h = Long.rotateLeft(h ^ half(b, at) * P1, 23) * P2 + P3;
            at += 4;
        }
        for (; at < length; at++) {
            h = Long.rotateLeft(h ^ (b[at] & 255) * P5, 11) * P1;
        }
        h = (h ^ h >>> 33) * P2;
        h = (h ^ h >>> 29) * P3;
        return h ^ h >>> 32;
    }

    private static long round(long v, long input) {
        return Long.rotateLeft(v + input * P2, 31) * P1;
    }

    private static long half(byte[] b, int at) {
        return b[at] & 255L | (b[at + 1] & 255L) << 8 | (b[at + 2] & 255L) << 16 | (b[at + 3] & 255L) << 24;
    }

    static long word(byte[] b, int at) {
        return half(b, at) | half(b, at + 4) << 32;
    }
}
