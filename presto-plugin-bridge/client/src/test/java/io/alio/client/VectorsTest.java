package io.alio.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.alio.client.segment.Crc32c;
import io.alio.client.segment.Format;
import io.alio.client.wire.Replies;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The vectors of api/testdata pass as they do in Go. */
class VectorsTest {
    /** The ways in which a page is read locally. */
    enum Way {
        DIRECT,
        GUARDED,
        MAPPED,
        DIRECT_BUFFER,
    }

    @TempDir Path temp;

    @Test
    void keys() {
        int n = 0;
        for (JsonElement p : Vectors.json("keys.json").getAsJsonArray("parts")) {
            JsonObject part = p.getAsJsonObject();
            byte[] key = Arrays.copyOf(Format.sha256().digest(part.get("id").getAsString().getBytes(StandardCharsets.UTF_8)), 16);
            assertArrayEquals(Vectors.hex(part.get("key").getAsString()), key);
            for (JsonElement e : part.getAsJsonArray("pages")) {
                JsonObject page = e.getAsJsonObject();
                byte[] got = Format.pageKey(Format.sha256(), key, page.get("offset").getAsLong(), page.get("length").getAsLong());
                assertArrayEquals(Vectors.hex(page.get("key").getAsString()), got);
                n++;
            }
        }
        assertEquals(16, n);
    }

    /** A cache directory with one segment, and what reads pages of it. */
    private final class Rig implements AutoCloseable {
        final Directory directory;
        final Segments segments;
        final LocalReader reader;
        final Way way;

        Rig(Way way) throws IOException {
            this.way = way;
            Files.createDirectories(temp.resolve("segments"));
            directory = new Directory(temp, 4);
            segments = new Segments(8, 10_000_000_000L, Runnable::run);
            AlioOptions o = AlioOptions.of("/nowhere").mapping(way == Way.MAPPED).guard(way == Way.GUARDED ? AlioOptions.Guard.ALL : AlioOptions.Guard.NONE);
            reader = new LocalReader(segments, o, () -> {}, new Warnings(text -> {}));
        }

        Path write(String name, byte[] content) throws IOException {
            return Files.write(temp.resolve("segments").resolve(name), content);
        }

        /** Reads bytes of a page; null if it was refused. */
        byte[] read(String name, byte[] key, int length, long record, int in, int n) {
            byte[] got = readAndKeep(name, key, length, record, in, n);
            segments.retire(segment(name));
            return got;
        }

        private Segment.Name segment(String name) {
            long instance = Long.parseUnsignedLong(name.substring(0, 16), 16);
            return new Segment.Name(directory, instance, Long.parseLong(name.substring(17, name.indexOf('.')), 16));
        }

        /** The same, and the segment stays open. */
        byte[] readAndKeep(String name, byte[] key, int length, long record, int in, int n) {
            ByteBuffer k = ByteBuffer.wrap(key).order(ByteOrder.LITTLE_ENDIAN);
            PageTable.Builder b = new PageTable.Builder(1);
            b.add(0, length, k.getLong(0), k.getLong(8), segments.get(segment(name)), (int) (record / 64), 0);
            ByteBuffer target = way == Way.DIRECT_BUFFER ? ByteBuffer.allocateDirect(n + 7) : ByteBuffer.allocate(n + 7);
            target.position(7);
            Outcome o = reader.read(b.build(), 0, target, in);
            if (o != Outcome.SERVED) {
                return null;
            }
            assertEquals(target.limit(), target.position());
            byte[] out = new byte[n];
            target.position(7);
            target.get(out);
            return out;
        }

        @Override
        public void close() {
            segments.close();
            directory.device.close();
        }
    }

    @ParameterizedTest
    @EnumSource
    void records(Way way) throws IOException {
        JsonObject v = Vectors.json("records.json");
        String name = v.get("name").getAsString();
        ByteArrayOutputStream file = new ByteArrayOutputStream();
        file.writeBytes(Vectors.hex(v.get("header").getAsString()));
        List<JsonObject> records = new ArrayList<>();
        for (JsonElement e : v.getAsJsonArray("records")) {
            JsonObject r = e.getAsJsonObject();
            records.add(r);
            int length = r.get("length").getAsInt();
            byte[] data = Vectors.generated(r.get("generator").getAsInt(), length);
            checkSums(r, data);
            assertEquals(file.size(), r.get("offset").getAsLong());
            file.writeBytes(Vectors.hex(r.get("header").getAsString()));
            file.writeBytes(data);
            file.writeBytes(new byte[(int) (r.get("offset").getAsLong() + r.get("size").getAsLong() - file.size())]);
        }
        if (way == Way.MAPPED) {
            file.writeBytes(trailer(v.get("instance").getAsString(), v.get("seq").getAsLong(), file.size()));
        }
        try (Rig rig = new Rig(way)) {
            rig.write(name, file.toByteArray());
            for (JsonElement e : v.getAsJsonArray("reads")) {
                JsonObject r = e.getAsJsonObject();
                JsonObject rec = records.stream().filter(x -> x.get("offset").getAsLong() == r.get("record").getAsLong()).findFirst().get();
                int in = r.get("offset").getAsInt();
                int n = r.get("length").getAsInt();
                byte[] want = Arrays.copyOfRange(Vectors.generated(rec.get("generator").getAsInt(), rec.get("length").getAsInt()), in, in + n);
                byte[] got = rig.read(name, Vectors.hex(rec.get("key").getAsString()), rec.get("length").getAsInt(), r.get("record").getAsLong(), in, n);
                assertArrayEquals(want, got, r.toString());
            }
        }
    }

    /** A read in the middle of a page checks its header once, and each time the sums of the bytes. */
    @ParameterizedTest
    @EnumSource
    void knownSums(Way way) throws IOException {
        int length = 3 * Format.BLOCK;
        byte[] key = new byte[16];
        Arrays.fill(key, (byte) 7);
        ByteBuffer file = ByteBuffer.allocate(Format.HEADER + Format.recordHeader(length) + length).order(ByteOrder.LITTLE_ENDIAN);
        file.put(Vectors.hex(Vectors.json("records.json").get("header").getAsString()));
        String name = Vectors.json("records.json").get("name").getAsString();
        long instance = Long.parseUnsignedLong(name.substring(0, 16), 16);
        long seq = Long.parseLong(name.substring(17, name.indexOf('.')), 16);
        byte[] data = Vectors.generated(5, length);
        int at = Format.HEADER;
        int start = at + Format.recordHeader(length);
        file.putInt(at, 0x6770_4c41).putInt(at + 4, length);
        file.position(at + 8);
        file.put(key);
        file.position(start);
        file.put(data);
        Crc32c crc = Crc32c.create();
        for (int i = 0; i < 3; i++) {
            crc.reset();
            crc.update(key, 0, 16);
            crc.update(data, i * Format.BLOCK, Format.BLOCK);
            file.putInt(at + 32 + 4 * i, crc.value());
        }
        byte[] scratch = new byte[8];
        crc.reset();
        crc.updateLong(instance, scratch);
        crc.updateLong(seq, scratch);
        crc.updateLong(at, scratch);
        crc.update(file.array(), at, 28);
        crc.update(file.array(), at + 32, Format.recordHeader(length) - 32);
        file.putInt(at + 28, crc.value());
        byte[] trailer = trailer(name.substring(0, 16), seq, file.capacity());
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        all.writeBytes(file.array());
        all.writeBytes(trailer);
        int in = Format.BLOCK + 10;
        int n = Format.BLOCK;
        byte[] want = Arrays.copyOfRange(data, in, in + n);
        try (Rig rig = new Rig(way)) {
            Path path = rig.write(name, all.toByteArray());
            for (int i = 0; i < 2; i++) {
                assertArrayEquals(want, rig.readAndKeep(name, key, length, at, in, n));
            }
            byte[] other = key.clone();
            other[15]++; // its sums are looked for at the same place
            assertNull(rig.readAndKeep(name, other, length, at, in, n));
            assertNull(rig.readAndKeep(name, key, length, at + 64, in, n));
            try (FileChannel f = FileChannel.open(path, StandardOpenOption.WRITE)) {
                f.write(ByteBuffer.wrap(new byte[] {(byte) ~data[in + n]}), start + in + n); // in the block, but not of what is asked for
            }
            assertNull(rig.readAndKeep(name, key, length, at, in, n));
            assertArrayEquals(Arrays.copyOfRange(data, Format.BLOCK + 10, Format.BLOCK + 20), rig.readAndKeep(name, key, length, at, Format.BLOCK + 10, 10), "another block");
        }
    }

    private static void checkSums(JsonObject record, byte[] data) {
        byte[] key = Vectors.hex(record.get("key").getAsString());
        for (Crc32c crc : new Crc32c[] {Crc32c.create(), Software.crc()}) {
            crc.reset();
            crc.update(data, 0, data.length);
            assertEquals((int) record.get("data_crc32c").getAsLong(), crc.value());
            for (int i = 0; i < Format.blocks(data.length); i++) {
                crc.reset();
                crc.update(key, 0, 16);
                crc.update(ByteBuffer.wrap(data, i << 16, Math.min(1 << 16, data.length - (i << 16))));
                assertEquals((int) record.getAsJsonArray("sums").get(i).getAsLong(), crc.value());
            }
        }
    }

    /** The trailer of a segment with no entries, as cache/disk/FORMAT.md has it. */
    private static byte[] trailer(String instance, long seq, long end) {
        ByteBuffer t = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN);
        long number = Long.parseUnsignedLong(instance, 16);
        t.put("ALIOEND\0".getBytes(StandardCharsets.US_ASCII)).putInt(1).putInt(0).putLong(end).putLong(number).putLong(seq);
        Crc32c crc = Crc32c.create();
        byte[] scratch = new byte[8];
        crc.updateLong(number, scratch);
        crc.updateLong(seq, scratch);
        crc.update(t.array(), 0, 60);
        t.putInt(60, crc.value());
        return t.array();
    }

    @ParameterizedTest
    @EnumSource
    void pages(Way way) throws IOException {
        JsonObject v = Vectors.json("pages.json");
        String name = v.get("segment").getAsString();
        byte[] file = Vectors.file(name);
        try (Rig rig = new Rig(way)) {
            rig.write(name, file);
            for (JsonElement e : v.getAsJsonArray("pages")) {
                JsonObject p = e.getAsJsonObject();
                int length = p.get("length").getAsInt();
                byte[] want = Vectors.generated(p.get("generator").getAsInt(), length);
                byte[] key = Vectors.hex(p.get("key").getAsString());
                assertArrayEquals(want, rig.read(name, key, length, p.get("record").getAsLong(), 0, length));
                int half = length / 2;
                assertArrayEquals(Arrays.copyOfRange(want, half, length), rig.read(name, key, length, p.get("record").getAsLong(), half, length - half));
            }
        }
        int refused = 0;
        for (JsonElement e : v.getAsJsonArray("refused")) {
            JsonObject x = e.getAsJsonObject();
            refuse(way, name, file, v.getAsJsonArray("pages").get(x.get("page").getAsInt()).getAsJsonObject(), x);
            refused++;
        }
        assertTrue(refused >= 18, "there were 18");
    }

    private void refuse(Way way, String segment, byte[] good, JsonObject page, JsonObject x) throws IOException {
        byte[] file = good.clone();
        int length = page.get("length").getAsInt();
        long record = page.get("record").getAsLong();
        byte[] key = Vectors.hex(page.get("key").getAsString());
        if (x.has("copy_to")) {
            System.arraycopy(file, (int) record, file, x.get("copy_to").getAsInt(), (64 + length + 63) / 64 * 64);
        }
        if (x.has("flip_byte")) {
            file[x.get("flip_byte").getAsInt()] ^= 1;
        }
        if (x.has("zero_to")) {
            Arrays.fill(file, x.get("zero_from").getAsInt(), x.get("zero_to").getAsInt(), (byte) 0);
        }
        if (x.has("truncate")) {
            file = Arrays.copyOf(file, x.get("truncate").getAsInt());
        }
        key = x.has("key") ? Vectors.hex(x.get("key").getAsString()) : key;
        record = x.has("record") ? x.get("record").getAsLong() : record;
        String name = x.has("rename") ? x.get("rename").getAsString() : segment;
        try (Rig rig = new Rig(way)) {
            Path written = rig.write(name, file);
            byte[] got = rig.read(name, key, length, record, 0, length);
            assertEquals(null, got, x.get("why").getAsString() + ": believed");
            Files.delete(written);
        }
    }

    @Test
    void open() throws Exception {
        JsonObject v = Vectors.json("open.json");
        Replies.Open reply = Replies.Open.parse(Base64.getDecoder().decode(v.get("reply").getAsString()));
        assertEquals(1L << 62, reply.generation);
        assertTrue(reply.forget);
        List<String> retired = new ArrayList<>();
        reply.retired.forEach(s -> retired.add(s.directory + "/" + Format.name(s.instance, s.seq)));
        List<String> want = new ArrayList<>();
        v.getAsJsonArray("retired").forEach(e -> want.add(e.getAsString()));
        assertEquals(want, retired);
        Segment[] segments = new Segment[reply.segments.size()];
        for (int i = 0; i < segments.length; i++) {
            segments[i] = new Segment(new Segment.Name(null, reply.segments.get(i).instance, reply.segments.get(i).seq));
        }
        for (int i = 0; i < reply.files.size(); i++) {
            JsonObject w = v.getAsJsonArray("files").get(i).getAsJsonObject();
            Replies.OpenedFile f = reply.files.get(i);
            assertEquals(w.has("error"), f.failed);
            if (f.failed) {
                assertEquals(w.get("error").getAsString(), f.errorMessage);
                continue;
            }
            Decoded d = new Decoded(f, "lake", segments);
            assertEquals(w.get("path").getAsString(), d.object.path());
            assertEquals(w.get("version").getAsString(), d.object.version());
            assertEquals(w.get("size").getAsLong(), d.object.size());
            assertEquals(w.has("settled") ? w.get("settled").getAsLong() : 0, d.settled);
            long fresh = w.has("fresh_for_us") ? w.get("fresh_for_us").getAsLong() : 0;
            assertEquals(fresh < 0 ? View.FOREVER : fresh * 1000, d.freshFor);
            checkPages(d, w);
        }
    }

    private static void checkPages(Decoded d, JsonObject w) {
        int placed = 0;
        for (JsonElement e : w.getAsJsonArray("pages")) {
            JsonObject p = e.getAsJsonObject();
            long offset = p.get("offset").getAsLong();
            int length = p.get("length").getAsInt();
            String where = p.get("where").getAsString();
            int i = d.table.from(offset);
            boolean inTable = i < d.table.count && d.table.offset(i) == offset;
            assertEquals(where.equals("segment"), inTable, p.toString());
            assertEquals(where.equals("memory"), Span.holds(d.memory, offset), p.toString());
            assertEquals(where.equals("granted"), d.granted.stream().anyMatch(g -> g.offset == offset && g.length == length), p.toString());
            assertTrue(Span.holds(d.told, offset));
            if (inTable) {
                placed++;
                ByteBuffer k = ByteBuffer.wrap(Vectors.hex(p.get("key").getAsString())).order(ByteOrder.LITTLE_ENDIAN);
                assertEquals(k.getLong(0), d.table.keyLow(i));
                assertEquals(k.getLong(8), d.table.keyHigh(i));
                assertEquals(length, d.table.length(i));
                assertEquals(p.get("record").getAsLong(), d.table.record(i));
                assertEquals(p.get("segment").getAsString(), Format.name(d.table.segment(i).name.instance, d.table.segment(i).name.seq));
            }
            for (Decoded.Grant g : d.granted) {
                if (g.offset == offset) {
                    assertArrayEquals(Vectors.hex(p.get("key").getAsString()), g.key);
                }
            }
        }
        assertEquals(placed, d.table.count);
    }

    @Test
    void openThatMakesNoSense() throws Exception {
        byte[] good = Base64.getDecoder().decode(Vectors.json("open.json").get("reply").getAsString());
        Segment[] segments = {new Segment(new Segment.Name(null, 1, 1)), new Segment(new Segment.Name(null, 2, 2))};
        int refused = 0;
        int decoded = 0;
        for (int at = 0; at < good.length; at++) { // every byte, several changes: an exception of ours or an answer, never another one and never a flood
            for (int change : new int[] {1, 0x80, 0xff}) {
                byte[] bad = good.clone();
                bad[at] ^= (byte) change;
                try {
                    for (Replies.OpenedFile f : Replies.Open.parse(bad).files) {
                        if (!f.failed) {
                            new Decoded(f, "lake", segments);
                        }
                    }
                    decoded++;
                } catch (io.alio.client.transport.ProtocolException e) {
                    refused++;
                }
            }
        }
        assertNotEquals(0, refused);
        assertNotEquals(0, decoded);
    }
}
