package io.alio.hadoop;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/** Random reads of a file, by all ways and from many threads, each answer compared with that of the file's content. */
public final class RandomReads {
    private static final int THREADS = 8;

    private RandomReads() {
    }

    /** Writes a file of size random bytes and reads it: on a stream for each thread, then on one for all. */
    public static void compare(FileSystem fs, Path file, int size, int reads, long seed) throws Exception {
        byte[] content = new byte[size];
        new Random(seed).nextBytes(content);
        try (FSDataOutputStream out = fs.create(file, true)) {
            out.write(content);
        }
        List<Callable<Void>> own = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            long s = seed + i + 1;
            own.add(() -> {
                try (FSDataInputStream in = fs.open(file)) {
                    Random r = new Random(s);
                    for (int n = 0; n < reads; n++) {
                        any(in, content, r);
                    }
                }
                return null;
            });
        }
        run(own);
        try (FSDataInputStream in = fs.open(file)) {
            List<Callable<Void>> shared = new ArrayList<>();
            for (int i = 0; i < THREADS; i++) {
                long s = seed - i - 1;
                shared.add(() -> {
                    Random r = new Random(s);
                    for (int n = 0; n < reads; n++) {
                        positioned(in, content, r);
                    }
                    return null;
                });
            }
            run(shared);
        }
    }

    private static void run(List<Callable<Void>> all) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(all.size());
        try {
            for (Future<Void> f : pool.invokeAll(all, 5, TimeUnit.MINUTES)) {
                f.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }

    /** One read by a way that moves the stream, or one at a position. */
    private static void any(FSDataInputStream in, byte[] content, Random r) throws IOException {
        int from = r.nextInt(content.length + 1);
        switch (r.nextInt(4)) {
            case 0:
                positioned(in, content, r);
                break;
            case 1:
                in.seek(from);
                same(in.read() & 0xff, from < content.length ? content[from] & 0xff : 0xff, "byte", from);
                break;
            case 2:
                long skipped = in.getPos();
                skipped += in.skip(r.nextInt(100_000));
                same(in.getPos(), skipped, "position after a skip", 0);
                sequence(in, content, r);
                break;
            default:
                in.seek(from);
                sequence(in, content, r);
        }
    }

    private static void sequence(FSDataInputStream in, byte[] content, Random r) throws IOException {
        for (int k = r.nextInt(5); k >= 0; k--) {
            long from = in.getPos();
            byte[] b = new byte[1 + r.nextInt(r.nextInt(4) == 0 ? 300_000 : 2_000)];
            int n = in.read(b);
            if (from == content.length) {
                same(n, -1, "read at the end", from);
                return;
            }
            if (n < 1 || from + n > content.length) {
                throw new IOException("read of " + b.length + " at " + from + " gave " + n);
            }
            check(b, n, content, (int) from);
            same(in.getPos(), from + n, "position after a read", from);
        }
    }

    private static void positioned(FSDataInputStream in, byte[] content, Random r) throws IOException {
        int from = r.nextInt(content.length);
        int n = 1 + r.nextInt(Math.min(content.length - from, r.nextInt(4) == 0 ? 1 << 20 : 20_000));
        byte[] b = new byte[n];
        in.readFully(from, b);
        check(b, n, content, from);
    }

    private static void check(byte[] b, int n, byte[] content, int from) throws IOException {
        if (!Arrays.equals(n == b.length ? b : Arrays.copyOf(b, n), Arrays.copyOfRange(content, from, from + n))) {
            throw new IOException(n + " bytes at " + from + " are wrong");
        }
    }

    private static void same(long got, long want, String what, long from) throws IOException {
        if (got != want) {
            throw new IOException(what + " at " + from + " is " + got + ", want " + want);
        }
    }
}
