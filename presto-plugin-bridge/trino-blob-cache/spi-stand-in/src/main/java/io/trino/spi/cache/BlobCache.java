package io.trino.spi.cache;

import java.io.IOException;
import java.util.Optional;

/** Stand-in. A cache owns the source that it is given, and closes it. */
public interface BlobCache {
    Optional<Blob> get(CacheKey key, BlobSource source) throws IOException;

    void tryInvalidate(CacheKey prefix);
}
