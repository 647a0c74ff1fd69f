import alluxio.client.file.cache.CacheManager;
import alluxio.client.file.cache.CacheManagerOptions;
import alluxio.client.file.cache.LocalCacheManager;
import alluxio.client.file.cache.PageId;
import alluxio.client.file.cache.PageMetaStore;
import alluxio.conf.Configuration;
import alluxio.conf.InstancedConfiguration;
import alluxio.conf.PropertyKey;

/**
 * Alluxio's LocalCacheManager, the cache that Presto and Trino run inside their workers, filled with a data set. Started with the data set's size, object size
 * and seed, the cache directory, and the cache's page size.
 */
public final class AlluxioGet extends Get {
  private final CacheManager cache;
  private final int pageSize;
  private final String[] names;

  private AlluxioGet(String[] args) throws Exception {
    super(args[0], args[1], args[2]);
    pageSize = Integer.parseInt(args[4]);
    InstancedConfiguration conf = Configuration.copyGlobal();
    conf.set(PropertyKey.USER_CLIENT_CACHE_ENABLED, true);
    conf.set(PropertyKey.USER_CLIENT_CACHE_DIRS, args[3]);
    conf.set(PropertyKey.USER_CLIENT_CACHE_SIZE, String.valueOf(2 * size));
    conf.set(PropertyKey.USER_CLIENT_CACHE_PAGE_SIZE, String.valueOf(pageSize));
    conf.set(PropertyKey.USER_CLIENT_CACHE_ASYNC_WRITE_ENABLED, false);
    conf.set(PropertyKey.USER_CLIENT_CACHE_ASYNC_RESTORE_ENABLED, false);
    CacheManagerOptions options = CacheManagerOptions.create(conf);
    cache = LocalCacheManager.create(options, PageMetaStore.create(options));
    names = new String[objects()];
    for (int i = 0; i < names.length; i++) {
      names[i] = name(i);
    }
  }

  public static void main(String[] args) throws Exception {
    AlluxioGet a = new AlluxioGet(args);
    a.fill();
    a.serve();
  }

  private void fill() {
    for (long at = 0; at < size; ) {
      long inObject = at % objectSize;
      int n = (int) Math.min(Math.min(pageSize, objectSize - inObject), size - at);
      if (!cache.put(new PageId(name(at / objectSize), inObject / pageSize), data(at, n))) {
        throw new IllegalStateException("the cache did not take the page at " + at);
      }
      at += n;
    }
  }

  @Override
  void get(int object, long inObject, byte[] buffer) {
    for (int done = 0; done < buffer.length; ) {
      int skip = (int) ((inObject + done) % pageSize);
      int want = Math.min(buffer.length - done, pageSize - skip);
      int got = cache.get(new PageId(names[object], (inObject + done) / pageSize), skip, want, buffer, done);
      if (got <= 0) {
        throw new IllegalStateException("the cache does not have byte " + (inObject + done) + " of " + names[object]);
      }
      done += got;
    }
  }
}
