import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A cache inside this JVM that is read from as engines read, into the caller's array, and timed. Each line on standard input is one run, "bytes readers milliseconds
 * file", where the file holds 64-bit places that the readers read, each its own part of them, over and over. The answer is a line of JSON. Bytes are checked as
 * Alio's own harness checks them: three words of each answer, all of one in 64.
 */
abstract class Get {
  private static final VarHandle WORD = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
  private static final int CHECK_WHOLE = 64;

  final long size;
  final long objectSize;
  private final long seed;

  /** Of the data set: its size, its objects' size, its seed. */
  Get(String size, String objectSize, String seed) {
    this.size = Long.parseLong(size);
    this.objectSize = Long.parseLong(objectSize);
    this.seed = Long.parseUnsignedLong(seed);
  }

  /** Reads as many bytes as fit into the buffer, from a place in an object, which holds so many. */
  abstract void get(int object, long inObject, byte[] buffer) throws Exception;

  /** Says that the cache is warm and serves standard input. */
  final void serve() throws Exception {
    System.out.println("{\"ready\":true}");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] f = line.split(" ", 4);
      System.out.println(run(Integer.parseInt(f[0]), Integer.parseInt(f[1]), Long.parseLong(f[2]), Path.of(f[3])));
    }
    System.exit(0);
  }

  final int objects() {
    return (int) ((size + objectSize - 1) / objectSize);
  }

  static String name(long object) {
    return String.format("data-%05d", object);
  }

  /** The data set's bytes from a place on. */
  final byte[] data(long at, int n) {
    byte[] page = new byte[n];
    for (int i = 0; i < n; i += 8) {
      WORD.set(page, i, word(at + i));
    }
    return page;
  }

  private long word(long at) {
    long z = at / 8 ^ seed;
    z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
    z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
    return z ^ z >>> 31;
  }

  private String run(int bytes, int readers, long millis, Path file) throws Exception {
    LongBuffer all = java.nio.ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN).asLongBuffer();
    long[][] places = new long[readers][all.remaining() / readers];
    for (long[] p : places) {
      all.get(p);
    }
    long[][] times = new long[readers][];
    AtomicReference<Throwable> failed = new AtomicReference<>();
    Thread[] threads = new Thread[readers];
    long start = System.nanoTime();
    for (int r = 0; r < readers; r++) {
      int reader = r;
      threads[r] = new Thread(() -> {
        try {
          times[reader] = read(places[reader], bytes, start + millis * 1_000_000);
        } catch (Throwable t) {
          failed.set(t);
        }
      });
      threads[r].start();
    }
    for (Thread t : threads) {
      t.join();
    }
    long wall = System.nanoTime() - start;
    if (failed.get() != null) {
      return "{\"error\":\"" + failed.get().toString().replaceAll("[\"\\\\\\n]", " ") + "\"}";
    }
    long[] sorted = Arrays.stream(times).flatMapToLong(Arrays::stream).sorted().toArray();
    double gb = (double) sorted.length * bytes / wall;
    return String.format(java.util.Locale.ROOT, "{\"reads\":%d,\"p50_us\":%.3f,\"p99_us\":%.3f,\"gb_per_s\":%.4f}", sorted.length, quantile(sorted, .5), quantile(sorted, .99), gb);
  }

  private static double quantile(long[] sorted, double q) {
    return sorted[(int) Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] / 1e3;
  }

  private long[] read(long[] places, int bytes, long end) throws Exception {
    long[] times = new long[1 << 16];
    int n = 0;
    byte[] buffer = new byte[bytes];
    for (long now = 0; now < end; n++) {
      long at = places[n % places.length];
      long start = System.nanoTime();
      get((int) (at / objectSize), at % objectSize, buffer);
      now = System.nanoTime();
      if (n == times.length) {
        times = Arrays.copyOf(times, 2 * n);
      }
      times[n] = now - start;
      check(buffer, at, n % CHECK_WHOLE == 0);
    }
    return Arrays.copyOf(times, n);
  }

  private void check(byte[] b, long at, boolean whole) {
    for (int i = 0; i < b.length; i += whole ? 8 : Math.max(8, (b.length / 2 - 8) / 8 * 8)) {
      if ((long) WORD.get(b, i) != word(at + i)) {
        throw new IllegalStateException("wrong bytes at " + (at + i));
      }
    }
  }
}
