package io.alio.client.ring;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** The key of a section: mount, canonical path and section, hashed. Version 1 of canonical paths leaves out empty elements, and changes nothing else. */
final class Path {
    static final int VERSION = 1;
    static final int MAX_NAME = 255;
    private static final int MAX_PATH = 8192;

    private Path() {}

    static long key(String mount, String path, long section) {
        byte[] m = utf8("mount", mount);
        byte[] p = utf8("path", path);
        if (m.length == 0 || m.length > MAX_NAME || mount.indexOf('/') >= 0 || mount.indexOf(0) >= 0) {
            throw new IllegalArgumentException("mount \"" + head(mount) + "\": a mount's name is 1 to " + MAX_NAME + " bytes of UTF-8 without a slash or a zero byte");
        }
        if (p.length > MAX_PATH) {
            throw new IllegalArgumentException("path \"" + head(path) + "\": it has " + p.length + " bytes, and " + MAX_PATH + " is the limit");
        }
        byte[] b = Arrays.copyOf(m, m.length + p.length + 10);
        int n = canonical(p, b, m.length + 1, path);
        b[n++] = 0;
        for (int i = 0; i < 8; i++) {
            b[n++] = (byte) (section >>> 8 * i);
        }
        return XxHash64.hash(b, n);
    }

    /** Writes the canonical path at a place; where it ends. */
    private static int canonical(byte[] p, byte[] b, int begin, String path) {
        int n = begin;
        for (int from = 0; from < p.length; ) {
            int to = from;
            while (to < p.length && p[to] != '/') {
                if (p[to] == 0) {
                    throw new IllegalArgumentException("path \"" + head(path) + "\": a path is UTF-8 without a zero byte");
                }
                to++;
            }
            int length = to - from;
            if (length == 1 && p[from] == '.' || length == 2 && p[from] == '.' && p[from + 1] == '.') {
                throw new IllegalArgumentException("path \"" + head(path) + "\": it has an element \".\" or \"..\": give the path of the file itself");
            }
            if (length > 0) {
                if (n > begin) {
                    b[n++] = '/';
                }
                System.arraycopy(p, from, b, n, length);
                n += length;
            }
            from = to + 1;
        }
        if (n == begin) {
            throw new IllegalArgumentException("path \"" + head(path) + "\": it names no file");
        }
        return n;
    }

    /** The bytes of a string; one that is no text (half a surrogate pair) is refused, where Java would make it a question mark. */
    private static byte[] utf8(String what, String s) {
        try {
            ByteBuffer b = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(s));
            return Arrays.copyOf(b.array(), b.limit());
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException(what + " \"" + head(s) + "\" is not Unicode text", e);
        }
    }

    private static String head(String s) {
        return s.length() > 64 ? s.substring(0, 64) + "…" : s;
    }
}
