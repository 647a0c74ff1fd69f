package io.trino.spi.cache;

import java.util.List;

/** Stand-in: catalog, usage, store ("s3://bucket"), segments of the path, parts of the version. */
public record CacheKey(List<String> components) {}
