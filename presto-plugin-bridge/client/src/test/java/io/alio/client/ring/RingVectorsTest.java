package io.alio.client.ring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The vectors of api/testdata/ring pass as they do in Go. */
class RingVectorsTest {
    private static final JsonObject VECTORS = read();

    private static JsonObject read() {
        java.nio.file.Path at = Paths.get("").toAbsolutePath();
        while (!Files.isDirectory(at.resolve("api/testdata/ring"))) {
            at = at.getParent();
        }
        try {
            byte[] b = Files.readAllBytes(at.resolve("api/testdata/ring/ring.json"));
            return new Gson().fromJson(new String(b, StandardCharsets.UTF_8), JsonObject.class);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static byte[] bytes(JsonObject o, String name) {
        return o.has(name) ? Base64.getDecoder().decode(o.get(name).getAsString()) : new byte[0];
    }

    private static JsonObject epochVector(int i) {
        return VECTORS.getAsJsonArray("epochs").get(i).getAsJsonObject();
    }

    /** A ring of this section size, without members, which is all that a key needs. */
    private static Ring empty(long sectionSize) throws IOException {
        Table t = new Table();
        t.owners = 1;
        t.bound = 50;
        t.standbyBound = 250;
        t.sectionSize = sectionSize;
        t.pathVersion = 1;
        t.leastPartitions = 64;
        t.partitions = 64;
        t.home = new char[64];
        java.util.Arrays.fill(t.home, Table.NONE);
        return Ring.decode(RingWriter.encode(t));
    }

    @Test
    void keys() throws IOException {
        int good = 0;
        int refused = 0;
        for (JsonElement e : VECTORS.getAsJsonArray("keys")) {
            JsonObject v = e.getAsJsonObject();
            Ring ring = empty(v.get("section_size").getAsLong());
            String mount = v.get("mount").getAsString();
            String path = v.get("path").getAsString();
            long offset = v.get("offset").getAsLong();
            if (v.has("error")) {
                assertThrows(IllegalArgumentException.class, () -> ring.key(mount, path, offset), v.get("error").getAsString());
                refused++;
            } else {
                assertEquals(v.get("key").getAsString(), String.format("%016x", ring.key(mount, path, offset)), path);
                good++;
            }
        }
        assertTrue(good >= 12 && refused >= 10, good + " keys, " + refused + " refused");
    }

    @Test
    void halfASurrogateIsNoText() throws IOException {
        Ring ring = empty(1 << 28);
        assertThrows(IllegalArgumentException.class, () -> ring.key("lake", "a\ud83c", 0));
        assertThrows(IllegalArgumentException.class, () -> ring.key("\udf0a", "a", 0));
    }

    @Test
    void epochs() throws IOException {
        int lookups = 0;
        JsonArray epochs = VECTORS.getAsJsonArray("epochs");
        for (int i = 0; i < epochs.size(); i++) {
            JsonObject v = epochVector(i);
            byte[] encoding = bytes(v, "encoding");
            Ring ring = Ring.decode(encoding);
            lookups += check(v, ring);
            assertArrayEquals(encoding, ring.encode());
        }
        assertTrue(epochs.size() >= 11 && lookups >= 400, epochs.size() + " epochs, " + lookups + " lookups");
    }

    /** Checks all that a vector says of an epoch. */
    private static int check(JsonObject v, Ring ring) {
        assertEquals(v.get("number").getAsLong(), ring.number());
        assertEquals(v.get("partitions").getAsInt(), ring.partitions());
        assertEquals(v.get("most").getAsInt(), ring.most());
        StringBuilder hash = new StringBuilder();
        for (byte x : ring.hash()) {
            hash.append(String.format("%02x", x));
        }
        assertEquals(v.get("hash").getAsString(), hash.toString());
        List<String> members = new ArrayList<>();
        if (v.get("members").isJsonArray()) {
            for (JsonElement e : v.getAsJsonArray("members")) {
                JsonObject m = e.getAsJsonObject();
                members.add(text(m.get("Name").getAsString(), m.get("Zone").getAsString(), m.get("Weight").getAsInt(), m.get("Draining").getAsBoolean(),
                        m.get("Excluded").getAsBoolean(), m.get("Sidecar").getAsString(), m.get("Worker").getAsString()));
            }
        }
        List<String> got = new ArrayList<>();
        for (RingMember m : ring.members()) {
            got.add(text(m.name(), m.zone(), m.weight(), m.draining(), m.excluded(), m.sidecar(), m.worker()));
        }
        assertEquals(members, got);
        int n = 0;
        for (JsonElement e : v.getAsJsonArray("lookups")) {
            lookup(v.get("comment").getAsString(), e.getAsJsonObject(), ring);
            n++;
        }
        return n;
    }

    private static String text(Object... parts) {
        return java.util.Arrays.toString(parts);
    }

    private static void lookup(String comment, JsonObject v, Ring ring) {
        long key = Long.parseUnsignedLong(v.get("key").getAsString(), 16);
        int k = v.get("k").getAsInt();
        if (!v.get("owners").isJsonArray()) {
            assertThrows(IllegalArgumentException.class, () -> ring.owners(key, k), comment);
            return;
        }
        List<String> want = new ArrayList<>();
        v.getAsJsonArray("owners").forEach(o -> want.add(o.getAsString()));
        List<String> got = new ArrayList<>();
        for (int slot : ring.owners(key, k)) {
            got.add(ring.members().get(slot).name());
        }
        assertEquals(want, got, comment + ": " + v);
    }

    @Test
    void differences() throws IOException {
        int n = 0;
        for (JsonElement e : VECTORS.getAsJsonArray("changes")) {
            JsonObject v = e.getAsJsonObject();
            Ring from = Ring.decode(bytes(epochVector(v.get("from").getAsInt()), "encoding"));
            Ring to = from.patch(bytes(v, "difference"));
            JsonObject want = epochVector(v.get("to").getAsInt());
            assertArrayEquals(bytes(want, "encoding"), to.encode(), want.get("comment").getAsString());
            check(want, to);
            n++;
        }
        assertTrue(n >= 10, n + " changes");
    }

    @Test
    void badBytesAreRefused() throws IOException {
        for (JsonElement e : VECTORS.getAsJsonArray("bad")) {
            JsonObject v = e.getAsJsonObject();
            String why = v.get("why").getAsString();
            if (v.has("difference")) {
                Ring from = Ring.decode(bytes(epochVector(v.has("from") ? v.get("from").getAsInt() : 0), "encoding"));
                assertThrows(InvalidRingException.class, () -> from.patch(bytes(v, "difference")), why);
            } else {
                assertThrows(InvalidRingException.class, () -> Ring.decode(bytes(v, "epoch")), why);
            }
        }
    }

    /** Damaged bytes with a right hash are refused, or are an epoch with this one encoding; nothing else is ever thrown. */
    @Test
    void damagedBytesBehindTheHash() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        byte[] good = bytes(epochVector(6), "encoding");
        for (int i = 0; i < 5000; i++) {
            byte[] bad = good.clone();
            for (int n = random.nextInt(3); n >= 0; n--) {
                bad[9 + random.nextInt(bad.length - 9 - 32)] ^= (byte) (1 << random.nextInt(8));
            }
            byte[] hash = RingReader.sha256().digest(java.util.Arrays.copyOf(bad, bad.length - 32));
            System.arraycopy(hash, 0, bad, bad.length - 32, 32);
            try {
                assertArrayEquals(bad, RingWriter.encode(decoded(bad)), "seed " + seed);
            } catch (InvalidRingException e) {
                assertTrue(e.getMessage().startsWith("ring: corrupt: "), e.getMessage());
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed, e);
            }
        }
    }

    /** The table of an epoch, through all checks. */
    private static Table decoded(byte[] b) throws InvalidRingException {
        Ring.decode(b);
        RingReader r = new RingReader(b);
        r.open(RingReader.EPOCH, "an epoch");
        Table t = new Table();
        r.header(t);
        r.members(t);
        r.partitions(t);
        r.table(t);
        r.overlay(t);
        r.finish();
        return t;
    }

    @Test
    void tooManyOwners() throws IOException {
        Ring ring = Ring.decode(bytes(epochVector(2), "encoding"));
        for (int k : new int[] {0, -1, 4}) {
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> ring.owners(1, k));
            assertEquals(k + " owners asked for: epoch 2 gives 1 to 3", e.getMessage());
        }
        Ring none = Ring.decode(bytes(epochVector(0), "encoding"));
        assertThrows(IllegalArgumentException.class, () -> none.owners(1, 1));
    }
}
