package io.trino.spi;

import io.trino.spi.cache.BlobCacheManagerFactory;
import java.util.List;

/** Stand-in: of all that a plugin may offer, the one method that matters here. */
public interface Plugin {
    default Iterable<BlobCacheManagerFactory> getBlobCacheManagerFactories() {
        return List.of();
    }
}
