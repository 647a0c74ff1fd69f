package io.alio.client.transport;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.function.BiConsumer;

/**
 * HPACK (RFC 7541) without a dynamic table: this side announces a size of 0 for the table of what it receives, and sends literals only.
 */
final class Hpack {
    private static final String[] STATIC = (":authority=;:method=GET;:method=POST;:path=/;:path=/index.html;:scheme=http;:scheme=https;:status=200;:status=204;"
            + ":status=206;:status=304;:status=400;:status=404;:status=500;accept-charset=;accept-encoding=gzip, deflate;accept-language=;accept-ranges=;accept=;"
            + "access-control-allow-origin=;age=;allow=;authorization=;cache-control=;content-disposition=;content-encoding=;content-language=;content-length=;"
            + "content-location=;content-range=;content-type=;cookie=;date=;etag=;expect=;expires=;from=;host=;if-match=;if-modified-since=;if-none-match=;"
            + "if-range=;if-unmodified-since=;last-modified=;link=;location=;max-forwards=;proxy-authenticate=;proxy-authorization=;range=;referer=;refresh=;"
            + "retry-after=;server=;set-cookie=;strict-transport-security=;transfer-encoding=;user-agent=;vary=;via=;www-authenticate=").split(";");

    /** For each symbol, and the end of the string, how many bits its Huffman code has: 'A' is 5. Codes are numbered in the order of length and symbol. */
    private static final String BITS = "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABABABBBACCBBBABCBAABCC"
            + "CCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVS"
            + "VWVVWWWWWXWWWWWVZ";
    private static final int END = 256;
    private static final int SHORTEST = 5;
    private static final int LONGEST = 30;
    private static final int[] FIRST = new int[LONGEST + 2]; // the first code of each length
    private static final int[] COUNT = new int[LONGEST + 2];
    private static final int[] START = new int[LONGEST + 2]; // where in SYMBOLS the symbols of each length start
    private static final int[] SYMBOLS = new int[END + 1];

    static {
        int code = 0;
        int n = 0;
        for (int bits = SHORTEST; bits <= LONGEST; bits++) {
            FIRST[bits] = code;
            START[bits] = n;
            for (int s = 0; s <= END; s++) {
                if (BITS.charAt(s) - 'A' + SHORTEST == bits) {
                    SYMBOLS[n++] = s;
                    COUNT[bits]++;
                }
            }
            code = code + COUNT[bits] << 1;
        }
    }

    private Hpack() {}

    /** Appends a header that is neither indexed nor Huffman-coded. */
    static void literal(ByteArrayOutputStream out, String name, String value) {
        out.write(0);
        string(out, name);
        string(out, value);
    }

    private static void string(ByteArrayOutputStream out, String s) {
        byte[] b = s.getBytes(StandardCharsets.ISO_8859_1);
        integer(out, 0, 7, b.length);
        out.write(b, 0, b.length);
    }

    private static void integer(ByteArrayOutputStream out, int flags, int prefix, int value) {
        int limit = (1 << prefix) - 1;
        if (value < limit) {
            out.write(flags | value);
            return;
        }
        out.write(flags | limit);
        value -= limit;
        for (; value >= 128; value >>>= 7) {
            out.write(value & 127 | 128);
        }
        out.write(value);
    }

    /** Reads a block of headers. */
    static void decode(byte[] block, int length, BiConsumer<String, String> header) throws ProtocolException {
        Reader r = new Reader(block, length);
        while (r.at < length) {
            int first = block[r.at] & 255;
            if (first >= 128) {
                String entry = entry(r.integer(7));
                int split = entry.indexOf('=', 1);
                header.accept(entry.substring(0, split), entry.substring(split + 1));
            } else if (first >= 64) {
                r.literal(6, header); // what would be added to a table of size 0
            } else if (first >= 32) {
                if (r.integer(5) != 0) {
                    throw new ProtocolException("the sidecar made its header table larger than it may");
                }
            } else {
                r.literal(4, header);
            }
        }
    }

    private static String entry(int index) throws ProtocolException {
        if (index < 1 || index > STATIC.length) {
            throw new ProtocolException("header " + index + " is in no table");
        }
        return STATIC[index - 1];
    }

    private static final class Reader {
        private final byte[] b;
        private final int end;
        private int at;

        Reader(byte[] b, int end) {
            this.b = b;
            this.end = end;
        }

        int next() throws ProtocolException {
            if (at >= end) {
                throw new ProtocolException("a block of headers is cut off");
            }
            return b[at++] & 255;
        }

        int integer(int prefix) throws ProtocolException {
            int limit = (1 << prefix) - 1;
            int value = next() & limit;
            if (value < limit) {
                return value;
            }
            for (int shift = 0; shift <= 21; shift += 7) {
                int more = next();
                value += (more & 127) << shift;
                if (more < 128) {
                    return value;
                }
            }
            throw new ProtocolException("a number in a header is too large");
        }

        void literal(int prefix, BiConsumer<String, String> header) throws ProtocolException {
            int index = integer(prefix);
            String name = index == 0 ? string() : entry(index).substring(0, entry(index).indexOf('=', 1));
            header.accept(name, string());
        }

        String string() throws ProtocolException {
            boolean huffman = at < end && (b[at] & 128) != 0;
            int n = integer(7);
            if (n > end - at) {
                throw new ProtocolException("a header is cut off");
            }
            int from = at;
            at += n;
            return huffman ? huffman(from, at) : new String(b, from, n, StandardCharsets.ISO_8859_1);
        }

        private String huffman(int from, int to) throws ProtocolException {
            StringBuilder out = new StringBuilder();
            int code = 0;
            int bits = 0;
            boolean ones = true;
            for (int i = from; i < to; i++) {
                for (int mask = 128; mask > 0; mask >>= 1) {
                    boolean one = (b[i] & mask) != 0;
                    code = code << 1 | (one ? 1 : 0);
                    ones &= one;
                    bits++;
                    if (bits > LONGEST) {
                        throw new ProtocolException("a Huffman code is too long");
                    }
                    int nth = code - FIRST[bits];
                    if (nth >= 0 && nth < COUNT[bits]) {
                        int symbol = SYMBOLS[START[bits] + nth];
                        if (symbol == END) {
                            throw new ProtocolException("a Huffman string holds its own end");
                        }
                        out.append((char) symbol);
                        code = 0;
                        bits = 0;
                        ones = true;
                    }
                }
            }
            if (bits > 7 || !ones) { // what fills the last byte is the start of the longest code, all ones
                throw new ProtocolException("a Huffman string ends within a code");
            }
            return out.toString();
        }
    }
}
