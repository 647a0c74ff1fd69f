package io.trino.spi.cache;

/** Stand-in: what the server gives a manager; nothing of it is used. */
public interface CacheManagerContext {}
