package io.alio.trino.blob;

import io.alio.client.AlioClient;
import io.trino.spi.cache.BlobCache;
import io.trino.spi.cache.BlobCacheManager;
import io.trino.spi.cache.CacheCapability;
import io.trino.spi.catalog.CatalogName;
import java.util.Set;

/**
 * One client for all catalogs. It offers room beyond the heap and nothing else: LOW_LATENCY promises that neither disk nor network is touched, and the server wants exactly one
 * manager for each.
 */
final class AlioBlobCacheManager implements BlobCacheManager {
    private final AlioClient client;

    AlioBlobCacheManager(AlioClient client) {
        this.client = client;
    }

    @Override
    public boolean hasCapability(CacheCapability capability) {
        return capability == CacheCapability.CAN_EXCEED_HEAP_SIZE;
    }

    @Override
    public BlobCache create(CatalogName catalog, Set<CacheCapability> capabilities) {
        for (CacheCapability c : capabilities) {
            if (!hasCapability(c)) {
                throw new IllegalArgumentException("catalog " + catalog + " wants a cache with " + c + ", which alio does not have: use the manager \"memory\" for it");
            }
        }
        return new AlioBlobCache(client);
    }

    /** Nothing is kept for a catalog: its pages are under its name, and age by themselves. */
    @Override
    public void drop(CatalogName catalog) {}

    @Override
    public void shutdown() {
        client.close();
    }
}
