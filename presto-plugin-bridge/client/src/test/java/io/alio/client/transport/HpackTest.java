package io.alio.client.transport;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class HpackTest {
    private static byte[] hex(String s) {
        String t = s.replace(" ", "");
        byte[] b = new byte[t.length() / 2];
        for (int i = 0; i < b.length; i++) {
            b[i] = (byte) Integer.parseInt(t.substring(2 * i, 2 * i + 2), 16);
        }
        return b;
    }

    private static List<String> decode(byte[] b) throws ProtocolException {
        List<String> out = new ArrayList<>();
        Hpack.decode(b, b.length, (n, v) -> out.add(n + ": " + v));
        return out;
    }

    /** RFC 7541, C.2.1 and C.6.1: a literal, and a response with Huffman codes (its dynamic table is not used within one block). */
    @Test
    void examplesOfTheStandard() throws ProtocolException {
        assertEquals(List.of("custom-key: custom-header"), decode(hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")));
        assertEquals(List.of(":status: 302", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", "location: https://www.example.com"),
                decode(hex("4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3")));
        assertEquals(List.of(":status: 200"), decode(hex("88")));
        assertEquals(List.of(":status: 200"), decode(hex("20 88"))); // a table of size 0
    }

    @Test
    void literalsComeBack() throws ProtocolException {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        String text = "v".repeat(300);
        Hpack.literal(b, "authorization", text);
        Hpack.literal(b, "te", "trailers");
        assertEquals(List.of("authorization: " + text, "te: trailers"), decode(b.toByteArray()));
    }

    @Test
    void whatMakesNoSenseIsRefused() {
        for (String bad : new String[] {"bf", "80", "00", "0001", "000161", "3f", "3f e1 1f", "41 81 00", "00 01 61 82 ff ff", "7f ff ff ff ff ff"}) {
            assertThrows(ProtocolException.class, () -> decode(hex(bad)), bad);
        }
        Random random = new Random(1);
        for (int i = 0; i < 20_000; i++) { // no other exception, and an end
            byte[] b = new byte[random.nextInt(40)];
            random.nextBytes(b);
            try {
                decode(b);
            } catch (ProtocolException e) {
                // as it should be
            }
        }
    }
}
