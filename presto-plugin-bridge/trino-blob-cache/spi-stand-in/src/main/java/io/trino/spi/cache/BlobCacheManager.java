package io.trino.spi.cache;

import io.trino.spi.catalog.CatalogName;
import java.util.Set;

/** Stand-in. */
public interface BlobCacheManager {
    boolean hasCapability(CacheCapability capability);

    BlobCache create(CatalogName catalog, Set<CacheCapability> capabilities);

    void drop(CatalogName catalog);

    void shutdown();
}
