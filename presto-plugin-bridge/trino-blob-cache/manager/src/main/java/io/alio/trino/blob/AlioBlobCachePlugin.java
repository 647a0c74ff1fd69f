package io.alio.trino.blob;

import io.trino.spi.Plugin;
import io.trino.spi.cache.BlobCacheManagerFactory;
import java.util.List;

/** Registers the manager named {@code alio}. */
public final class AlioBlobCachePlugin implements Plugin {
    @Override
    public Iterable<BlobCacheManagerFactory> getBlobCacheManagerFactories() {
        return List.of(new AlioBlobCacheManagerFactory());
    }
}
