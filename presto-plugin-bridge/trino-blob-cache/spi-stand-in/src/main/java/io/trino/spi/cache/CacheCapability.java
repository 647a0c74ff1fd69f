package io.trino.spi.cache;

/** Stand-in. */
public enum CacheCapability {
    /** No disk and no network: the stock memory manager. */
    LOW_LATENCY,
    /** What a file system cache of data asks for. */
    CAN_EXCEED_HEAP_SIZE,
}
