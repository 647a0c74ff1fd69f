package io.alio.client;

import io.alio.client.segment.Crc32c;
import io.alio.client.segment.Format;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.options.CommandLineOptions;

/**
 * Warm reads of whole pages at random places of 256 MiB, into the caller's array: by {@link AlioFile} in its ways, and beside it the least that can be done,
 * a bare FileChannel with and without a sum; and what no way can do without: the reads into memory that is in the processor's cache, with the sums and without
 * them, and the sums alone. Run by hand: java -cp test-classes:classes:jmh io.alio.client.ReadBenchmark.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(2)
public class ReadBenchmark {
    private static final int SEGMENTS = 4;
    private static final int SEGMENT_BYTES = 64 << 20;
    private static final int PIECE = 256 << 10;

    @Param({"65536", "1048576"})
    public int page;

    private Path folder;
    private int pages;
    private byte[] target;
    private SplittableRandom random;
    private FileChannel[] channels;
    private AlioFile direct;
    private AlioFile mapped;
    private AlioFile guarded;
    private Crc32c crc;
    private ByteBuffer piece;

    public static void main(String[] args) throws Exception {
        new Runner(new CommandLineOptions(args)).run();
    }

    @Setup
    public void setUp() throws IOException {
        folder = Files.createTempDirectory("alio-bench");
        Files.createDirectories(folder.resolve("segments"));
        target = new byte[page];
        random = new SplittableRandom(1);
        crc = Crc32c.create();
        piece = ByteBuffer.allocateDirect(Math.min(page, PIECE));
        channels = new FileChannel[SEGMENTS];
        for (int s = 0; s < SEGMENTS; s++) {
            Path file = folder.resolve("segments").resolve(Format.name(7, s));
            Files.write(file, segment(s));
            channels[s] = FileChannel.open(file, StandardOpenOption.READ);
        }
        pages = SEGMENTS * (SEGMENT_BYTES / page);
        direct = open(AlioOptions.of("/nowhere").guard(AlioOptions.Guard.NONE));
        mapped = open(AlioOptions.of("/nowhere").guard(AlioOptions.Guard.NONE).mapping(true));
        guarded = open(AlioOptions.of("/nowhere").guard(AlioOptions.Guard.ALL));
    }

    private long record() {
        return (Format.recordHeader(page) + page + 63) / 64 * 64;
    }

    private byte[] key(int s, int i) {
        return Format.pageKey(Format.sha256(), new byte[16], ((long) s * (SEGMENT_BYTES / page) + i) * page, page);
    }

    private byte[] segment(int s) {
        ByteArrayOutputStream out = new ByteArrayOutputStream(SEGMENT_BYTES + (1 << 20));
        byte[] scratch = new byte[8];
        ByteBuffer h = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN);
        h.putLong(0, 0x0047_4553_4f49_4c41L).putInt(8, 1).putInt(12, 64).putLong(16, 7).putLong(24, s);
        Crc32c c = Crc32c.create();
        c.update(h.array(), 0, 60);
        h.putInt(60, c.value());
        out.writeBytes(h.array());
        for (int i = 0; i < SEGMENT_BYTES / page; i++) {
            byte[] data = Vectors.generated(s * 1000 + i, page);
            byte[] key = key(s, i);
            int size = Format.recordHeader(page);
            ByteBuffer r = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
            r.putInt(0x6770_4c41).putInt(page).put(key);
            for (int b = 0; b < Format.blocks(page); b++) {
                c.reset();
                c.update(key, 0, 16);
                c.update(data, b << 16, Math.min(1 << 16, page - (b << 16)));
                r.putInt(32 + 4 * b, c.value());
            }
            c.reset();
            c.updateLong(7, scratch);
            c.updateLong(s, scratch);
            c.updateLong(out.size(), scratch);
            c.update(r.array(), 0, 28);
            c.update(r.array(), 32, size - 32);
            r.putInt(28, c.value());
            out.writeBytes(r.array());
            out.writeBytes(data);
        }
        ByteBuffer t = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN);
        t.putLong(0, 0x0044_4e45_4f49_4c41L).putInt(8, 1).putLong(16, out.size()).putLong(24, 7).putLong(32, s);
        c.reset();
        c.updateLong(7, scratch);
        c.updateLong(s, scratch);
        c.update(t.array(), 0, 60);
        t.putInt(60, c.value());
        out.writeBytes(t.array());
        return out.toByteArray();
    }

    /** A file whose pages are known, at a client whose sidecar is not there. */
    private AlioFile open(AlioOptions options) {
        AlioClient client = AlioClient.create(options);
        Directory directory = new Directory(folder, 4);
        PageTable.Builder b = new PageTable.Builder(pages);
        int each = SEGMENT_BYTES / page;
        for (int s = 0; s < SEGMENTS; s++) {
            Segment segment = client.segments().get(new Segment.Name(directory, 7, s));
            for (int i = 0; i < each; i++) {
                ByteBuffer k = ByteBuffer.wrap(key(s, i)).order(ByteOrder.LITTLE_ENDIAN);
                b.add(((long) s * each + i) * page, page, k.getLong(0), k.getLong(8), segment, (int) ((64 + i * record()) / 64), 0);
            }
        }
        AlioObject o = new AlioObject("lake", "file", "v", "e", (long) pages * page, 0);
        return new AlioFile(client, new View(new View.Key("lake", "file", null), o, o.size(), b.build(), 0, View.FOREVER), null, "");
    }

    @TearDown
    public void tearDown() throws IOException {
        for (FileChannel c : channels) {
            c.close();
        }
        try (java.util.stream.Stream<Path> all = Files.walk(folder)) {
            all.sorted(java.util.Comparator.reverseOrder()).forEach(p -> p.toFile().delete());
        }
    }

    private int next() {
        return random.nextInt(pages);
    }

    private byte[] read(AlioFile f) throws IOException {
        if (f.read((long) next() * page, target, 0, page, null) != page) {
            throw new IOException("short");
        }
        return target;
    }

    @Benchmark
    public byte[] alio() throws IOException {
        return read(direct);
    }

    @Benchmark
    public byte[] alioMapped() throws IOException {
        return read(mapped);
    }

    @Benchmark
    public byte[] alioGuarded() throws IOException {
        return read(guarded);
    }

    private byte[] bare() throws IOException {
        int each = SEGMENT_BYTES / page;
        int p = next();
        ByteBuffer b = ByteBuffer.wrap(target);
        while (b.hasRemaining()) {
            channels[p / each].read(b, 64 + p % each * record() + Format.recordHeader(page) + b.position());
        }
        return target;
    }

    @Benchmark
    public byte[] channel() throws IOException {
        return bare();
    }

    @Benchmark
    public int channelAndSum() throws IOException {
        bare();
        crc.reset();
        crc.update(target, 0, page);
        return crc.value();
    }

    /** Reads pieces into one small buffer: nothing is copied into an array. */
    private int pieces(boolean sum) throws IOException {
        int each = SEGMENT_BYTES / page;
        int p = next();
        long at = 64 + p % each * record() + Format.recordHeader(page);
        int sums = 0;
        for (int done = 0; done < page; done += PIECE) {
            piece.clear();
            while (piece.hasRemaining()) {
                channels[p / each].read(piece, at + done + piece.position());
            }
            for (int block = 0; sum && block < piece.capacity(); block += Format.BLOCK) {
                crc.reset();
                piece.limit(block + Format.BLOCK).position(block);
                crc.update(piece);
                sums ^= crc.value();
            }
        }
        return sums;
    }

    @Benchmark
    public int floorRead() throws IOException {
        return pieces(false);
    }

    @Benchmark
    public int floorReadAndSum() throws IOException {
        return pieces(true);
    }

    @Benchmark
    public int floorSum() {
        int sums = 0;
        for (int done = 0; done < page; done += Format.BLOCK) {
            crc.reset();
            crc.update(target, 0, Format.BLOCK);
            sums ^= crc.value();
        }
        return sums;
    }
}
