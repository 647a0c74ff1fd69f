package io.alio.trino;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.alio.client.AlioClient;
import io.alio.client.AlioOptions;
import io.trino.filesystem.Location;
import io.trino.filesystem.TrinoInput;
import io.trino.filesystem.TrinoInputFile;
import io.trino.filesystem.TrinoInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What the bridge does without a sidecar; with one it is tested by itest, in a real Trino. */
class AlioFileSystemCacheTest {
    private static final Location LOCATION = Location.of("s3://bucket/t/part-1.parquet");

    private final AlioClient client = AlioClient.create(AlioOptions.of("127.0.0.1:1").warnings(text -> {}));
    private final Counters counters = new Counters("test");

    private AlioFileSystemCache cache(TableFormat format, boolean fills) {
        return new AlioFileSystemCache(client, Mounts.parse(List.of()), format, fills, true, counters);
    }

    /** A file in memory that counts what it is asked. */
    private static final class Stored implements TrinoInputFile {
        Location location = LOCATION;
        final byte[] data;
        int inputs;
        int streams;
        int heads;

        Stored(int size) {
            data = new byte[size];
            new Random(size).nextBytes(data);
        }

        @Override
        public TrinoInput newInput() {
            inputs++;
            return new TrinoInput() {
                @Override
                public void readFully(long position, byte[] b, int offset, int length) throws IOException {
                    if (position + length > data.length) {
                        throw new EOFException();
                    }
                    System.arraycopy(data, (int) position, b, offset, length);
                }

                @Override
                public int readTail(byte[] b, int offset, int length) throws IOException {
                    int n = Math.min(length, data.length);
                    readFully(data.length - n, b, offset, n);
                    return n;
                }

                @Override
                public void close() {}
            };
        }

        @Override
        public TrinoInputStream newStream() {
            streams++;
            return null;
        }

        @Override
        public long length() {
            heads++;
            return data.length;
        }

        @Override
        public Instant lastModified() {
            heads++;
            return Instant.EPOCH;
        }

        @Override
        public boolean exists() {
            return true;
        }

        @Override
        public Location location() {
            return location;
        }
    }

    @Test
    void withoutASidecarTrinoReadsByItself() throws IOException {
        Stored file = new Stored(1000);
        AlioFileSystemCache cache = cache(TableFormat.HIVE, false);
        try (TrinoInput input = cache.cacheInput(file, "")) {
            file.heads = 0; // what Hive's listing has told
            byte[] got = new byte[1000];
            assertEquals(1000, input.readTail(got, 0, 1000));
            assertArrayEquals(file.data, got);
            input.readFully(10, got, 0, 100);
            assertArrayEquals(Arrays.copyOfRange(file.data, 10, 110), Arrays.copyOf(got, 100));
        }
        cache.cacheStream(file, "");
        assertEquals(1000, cache.cacheLength(file, ""));
        cache.expire(LOCATION);
        cache.expire(List.of(LOCATION));
        assertEquals(1, file.inputs);
        assertEquals(1, file.streams);
        assertEquals(3, counters.getBypassedFiles());
        assertEquals(0, counters.getOpenedFiles());
        cache.close();
    }

    /** A file that Trino knows is opened with the first read, once, and never after it was closed. */
    @Test
    void openedByTheFirstRead() throws IOException {
        Stored file = new Stored(1000);
        List<Boolean> opened = new ArrayList<>();
        Reading.Opener none = whole -> {
            opened.add(whole);
            return Optional.empty();
        };
        byte[] b = new byte[2000];
        for (int length : new int[] {999, 1000, 2000}) {
            try (Reading reading = new Reading(new EngineReader(file), none, 1000)) {
                assertEquals(1000, reading.size());
                assertEquals(Math.min(1000, length), reading.read(0, b, 0, length));
                reading.read(0, b, 0, 2000);
            }
        }
        try (Reading reading = new Reading(new EngineReader(file), none, 1000)) {
            assertEquals(500, reading.read(500, b, 0, 1000));
        }
        assertEquals(List.of(false, true, true, false), opened);
        Reading closed = new Reading(new EngineReader(file), none, 1000);
        closed.close();
        assertThrows(IOException.class, () -> closed.read(0, b, 0, 10));
        assertEquals(4, opened.size());
    }

    /** A client-filled file is there without a sidecar too, so all reads go through our input and stream to the filler, and must be the file's. */
    @Test
    void randomReadsAreTheFiles() throws IOException {
        long seed = Long.getLong("alio.seed", System.nanoTime());
        Random random = new Random(seed);
        for (int size : new int[] {0, 1, 1000, 300_000, 5_000_000}) {
            Stored file = new Stored(size);
            AlioFileSystemCache cache = cache(TableFormat.HIVE, true);
            try (TrinoInput input = cache.cacheInput(file, ""); TrinoInputStream stream = cache.cacheStream(file, "")) {
                for (int i = 0; i < 300; i++) {
                    String what = "seed " + seed + ", size " + size + ", step " + i;
                    int position = random.nextInt(size + 1);
                    int length = random.nextInt(random.nextBoolean() ? size - position + 1 : Math.min(100, size - position) + 1);
                    byte[] want = Arrays.copyOfRange(file.data, position, position + length);
                    byte[] got = new byte[length];
                    switch (random.nextInt(4)) {
                        case 0 -> input.readFully(position, got, 0, length);
                        case 1 -> {
                            want = Arrays.copyOfRange(file.data, size - length, size);
                            assertEquals(length, input.readTail(got, 0, length), what);
                        }
                        case 2 -> {
                            stream.seek(position);
                            assertEquals(length, stream.readNBytes(got, 0, length), what);
                            assertEquals(position + length, stream.getPosition(), what);
                        }
                        default -> {
                            want = Arrays.copyOfRange(file.data, (int) stream.getPosition(), Math.min(size, (int) stream.getPosition() + 1));
                            int b = stream.read();
                            got = b < 0 ? new byte[0] : new byte[] {(byte) b};
                        }
                    }
                    assertArrayEquals(want, got, what);
                }
                stream.seek(size);
                assertEquals(-1, stream.read());
                assertEquals(0, stream.skip(10));
                assertThrows(EOFException.class, () -> stream.seek(size + 1));
                assertThrows(EOFException.class, () -> input.readFully(size, new byte[1], 0, 1));
                assertThrows(IOException.class, () -> input.readFully(-1, new byte[1], 0, 1));
                assertThrows(IndexOutOfBoundsException.class, () -> input.readFully(0, new byte[1], 1, 1));
                assertEquals(size, input.readTail(new byte[size + 5], 2, size + 3));
            }
        }
    }

    @Test
    void closedMeansClosed() throws IOException {
        Stored file = new Stored(10);
        TrinoInput input = cache(TableFormat.HIVE, true).cacheInput(file, "");
        TrinoInputStream stream = cache(TableFormat.HIVE, true).cacheStream(file, "");
        input.close();
        input.close();
        stream.close();
        stream.close();
        assertThrows(IOException.class, () -> input.readFully(0, new byte[1], 0, 1));
        assertThrows(IOException.class, stream::read);
    }

    /** Asking Trino's file for what it was not given sends a HEAD; which files were given what is TableFormat's knowledge. */
    @Test
    void whatIsKnownCostsNoHead() throws IOException {
        Stored file = new Stored(10);
        for (TableFormat f : TableFormat.values()) {
            assertEquals(TableFormat.Known.NOTHING, f.known(file, true));
        }
        assertEquals(0, file.heads);
        assertEquals(new TableFormat.Known(OptionalLong.of(10), Optional.of(Instant.EPOCH), false), TableFormat.HIVE.known(file, false));
        assertEquals(TableFormat.Known.writtenOnce(10), TableFormat.DELTA_LAKE.known(file, false));
        assertEquals(TableFormat.Known.writtenOnce(10), TableFormat.HUDI.known(file, false));
        assertEquals(TableFormat.Known.writtenOnce(10), TableFormat.ICEBERG.known(file, false));
        file.heads = 0;
        for (String unknown : List.of("_delta_log/00000000000000000010.checkpoint.parquet", "deletion_vector_5c63d8ae.bin")) {
            file.location = Location.of("s3://lake/t/" + unknown);
            assertEquals(TableFormat.Known.NOTHING, TableFormat.DELTA_LAKE.known(file, false), unknown);
        }
        assertEquals(0, file.heads);
        file.location = Location.of("s3://lake/t/20261128_170407_00007_j8feg_80f64e6f-d916-4dc2-901a-6e58fd4dc3f2");
        assertEquals(TableFormat.Known.writtenOnce(10), TableFormat.DELTA_LAKE.known(file, false), "a file that Trino has written");
    }

    /** Only where a connector looks whether a file is there is the sidecar's word enough that it is not. */
    @Test
    void whatMayBeAbsent() {
        Location commit = Location.of("s3://lake/t/_delta_log/00000000000000000007.json");
        for (TableFormat f : TableFormat.values()) {
            assertEquals(f == TableFormat.DELTA_LAKE, f.mayBeAbsent(commit), f.toString());
            assertFalse(f.mayBeAbsent(LOCATION), f.toString());
        }
        assertFalse(TableFormat.DELTA_LAKE.mayBeAbsent(Location.of("s3://lake/t/_change_data/cdc-1.parquet")));
    }

    @Test
    void foldersThatTheSidecarKnows() {
        Mounts mounts = Mounts.parse(List.of("hdfs://ns/warehouse=lake", "s3://other=lake"));
        Folders folders = new Folders();
        Mounts.Place next = mounts.place(Location.of("hdfs://ns/warehouse/t/_delta_log/2.json")).orElseThrow();
        assertFalse(folders.have(next));
        for (String file : List.of("hdfs://ns/warehouse/t/1.json", "hdfs://ns/warehouse/t/_delta_log/_sidecars/1.json", "s3://b/t/_delta_log/1.json")) {
            folders.found(mounts.place(Location.of(file)).orElseThrow());
            assertFalse(folders.have(next), file);
        }
        folders.found(mounts.place(Location.of("hdfs://ns/warehouse/t/_delta_log/1.json")).orElseThrow());
        assertTrue(folders.have(next));
        for (int i = 0; i < 20_000; i++) {
            folders.found(mounts.place(Location.of("s3://other/t" + i + "/1.json")).orElseThrow());
        }
        assertFalse(folders.have(next), "folders without a bound");
    }

    @Test
    void warnsRarely() {
        int[] n = {0};
        Rarely rarely = new Rarely();
        for (int i = 0; i < 10; i++) {
            rarely.run(() -> n[0]++);
        }
        assertEquals(1, n[0]);
        assertFalse(counters.getStaleFiles() > 0);
        assertTrue(counters.getUnmappedFiles() == 0);
    }
}
