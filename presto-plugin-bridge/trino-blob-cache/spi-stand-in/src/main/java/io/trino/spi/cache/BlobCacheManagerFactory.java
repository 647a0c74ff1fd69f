package io.trino.spi.cache;

import java.util.Map;

/** Stand-in. */
public interface BlobCacheManagerFactory {
    String getName();

    BlobCacheManager create(Map<String, String> config, CacheManagerContext context);
}
