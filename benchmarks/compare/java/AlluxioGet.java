import alluxio.client.file.cache.CacheManager;
import alluxio.client.file.cache.CacheManagerOptions;
import alluxio.client.file.cache.LocalCacheManager;
import alluxio.client.file.cache.PageId;
import alluxio.client.file.cache.PageMetaStore;
import alluxio.conf.Configuration;
import alluxio.conf.InstancedConfiguration;
import alluxio.conf.PropertyKey;

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
 * Alluxio's LocalCacheManager, the cache that Presto and Trino run inside their workers, filled with a data set and read from as they read: get into
 * the caller's array. Started with the cache directory, the data set's size, object size and seed, and the cache's page size; then each line on standard
 * input is one run, "bytes readers milliseconds file", where the file holds 64-bit places that the readers read, each its own part of them, over and over.
 * The answer is a line of JSON. Bytes are checked as Alio's own harness checks them: three words of each answer, all of one in 64.
 */
public final class AlluxioGet {
  private static final VarHandle WORD = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
  private static final int CHECK_WHOLE = 64;

  private final CacheManager cache;
  private final long size;
  private final long objectSize;
  private final long seed;
  private final int pageSize;

  private AlluxioGet(String dir, long size, long objectSize, long seed, int pageSize) throws Exception {
    this.size = size;
    this.objectSize = objectSize;
    this.seed = seed;
    this.pageSize = pageSize;
    InstancedConfiguration conf = Configuration.copyGlobal();
    conf.set(PropertyKey.USER_CLIENT_CACHE_ENABLED, true);
    conf.set(PropertyKey.USER_CLIENT_CACHE_DIRS, dir);
    conf.set(PropertyKey.USER_CLIENT_CACHE_SIZE, String.valueOf(2 * size));
    conf.set(PropertyKey.USER_CLIENT_CACHE_PAGE_SIZE, String.valueOf(pageSize));
    conf.set(PropertyKey.USER_CLIENT_CACHE_ASYNC_WRITE_ENABLED, false);
    conf.set(PropertyKey.USER_CLIENT_CACHE_ASYNC_RESTORE_ENABLED, false);
    CacheManagerOptions options = CacheManagerOptions.create(conf);
    cache = LocalCacheManager.create(options, PageMetaStore.create(options));
  }

  public static void main(String[] args) throws Exception {
    AlluxioGet a = new AlluxioGet(args[0], Long.parseLong(args[1]), Long.parseLong(args[2]), Long.parseUnsignedLong(args[3]), Integer.parseInt(args[4]));
    a.fill();
    System.out.println("{\"ready\":true}");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] f = line.split(" ", 4);
      System.out.println(a.run(Integer.parseInt(f[0]), Integer.parseInt(f[1]), Long.parseLong(f[2]), Path.of(f[3])));
    }
    System.exit(0);
  }

  private void fill() {
    for (long at = 0; at < size; ) {
      long inObject = at % objectSize;
      int n = (int) Math.min(Math.min(pageSize, objectSize - inObject), size - at);
      byte[] page = new byte[n];
      for (int i = 0; i < n; i += 8) {
        WORD.set(page, i, word(at + i));
      }
      if (!cache.put(new PageId(name(at / objectSize), inObject / pageSize), page)) {
        throw new IllegalStateException("the cache did not take the page at " + at);
      }
      at += n;
    }
  }

  private static String name(long object) {
    return String.format("data-%05d", object);
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

  private long[] read(long[] places, int bytes, long end) {
    long[] times = new long[1 << 16];
    int n = 0;
    byte[] buffer = new byte[bytes];
    String[] names = new String[(int) ((size + objectSize - 1) / objectSize)];
    for (int i = 0; i < names.length; i++) {
      names[i] = name(i);
    }
    for (long now = 0; now < end; n++) {
      long at = places[n % places.length];
      long inObject = at % objectSize;
      String file = names[(int) (at / objectSize)];
      long start = System.nanoTime();
      for (int done = 0; done < bytes; ) {
        int skip = (int) ((inObject + done) % pageSize);
        int want = Math.min(bytes - done, pageSize - skip);
        int got = cache.get(new PageId(file, (inObject + done) / pageSize), skip, want, buffer, done);
        if (got <= 0) {
          throw new IllegalStateException("the cache does not have the page at " + (at + done));
        }
        done += got;
      }
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
