package io.alio.trino.blob;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.trino.spi.Plugin;
import io.trino.spi.cache.Blob;
import io.trino.spi.cache.BlobCache;
import io.trino.spi.cache.BlobCacheManager;
import io.trino.spi.cache.BlobCacheManagerFactory;
import io.trino.spi.cache.BlobSource;
import io.trino.spi.cache.CacheCapability;
import io.trino.spi.cache.CacheKey;
import io.trino.spi.cache.CacheManagerContext;
import io.trino.spi.catalog.CatalogName;
import java.io.EOFException;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.ServiceLoader;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Against the stand-in, without a sidecar: every read goes to the source and must be its bytes. */
class AlioBlobCacheTest {
    private static final CacheManagerContext CONTEXT = new CacheManagerContext() {};
    private static final CacheKey KEY = new CacheKey(List.of("lake", "filesystem.data", "s3://bucket", "t", "part-1", "2026-01-01T00:00:00Z", "100000"));

    private static final class Source implements BlobSource {
        final byte[] data = new byte[100_000];
        boolean closed;

        Source() {
            new Random(1).nextBytes(data);
        }

        @Override
        public long length() {
            return data.length;
        }

        @Override
        public void readFully(long position, byte[] b, int offset, int length) throws IOException {
            if (closed) {
                throw new IOException("closed");
            }
            System.arraycopy(data, (int) position, b, offset, length);
        }

        @Override
        public void close() {
            closed = true;
        }
    }

    private static BlobCacheManager manager() {
        BlobCacheManagerFactory factory = ServiceLoader.load(Plugin.class).findFirst().orElseThrow().getBlobCacheManagerFactories().iterator().next();
        assertEquals("alio", factory.getName());
        return factory.create(Map.of("cache-manager.name", "alio", "alio.sidecar", "127.0.0.1:1", "alio.directories", "/a, /b", "alio.token", "t", "alio.deadline", "1s"), CONTEXT);
    }

    @Test
    void readsAreTheSources() throws IOException {
        long seed = Long.getLong("alio.seed", System.nanoTime());
        Random random = new Random(seed);
        BlobCacheManager manager = manager();
        BlobCache cache = manager.create(new CatalogName("lake"), Set.of(CacheCapability.CAN_EXCEED_HEAP_SIZE));
        Source source = new Source();
        try (Blob blob = cache.get(KEY, source).orElseThrow()) {
            assertEquals(source.data.length, blob.length());
            for (int i = 0; i < 200; i++) {
                int position = random.nextInt(source.data.length + 1);
                byte[] got = new byte[random.nextInt(source.data.length - position + 1) + 2];
                blob.readFully(position, got, 1, got.length - 2);
                assertArrayEquals(Arrays.copyOfRange(source.data, position, position + got.length - 2), Arrays.copyOfRange(got, 1, got.length - 1), "seed " + seed + ", step " + i);
            }
            assertThrows(EOFException.class, () -> blob.readFully(source.data.length, new byte[1], 0, 1));
            assertThrows(EOFException.class, () -> blob.readFully(-1, new byte[1], 0, 1));
        }
        assertTrue(source.closed);
        cache.tryInvalidate(KEY);
        manager.drop(new CatalogName("lake"));
        manager.shutdown();
        manager.shutdown();
    }

    @Test
    void whatCannotBeNamedIsNotCached() throws IOException {
        BlobCacheManager manager = manager(Map.of("alio.sidecar", "127.0.0.1:1"));
        BlobCache cache = manager.create(new CatalogName("lake"), Set.of());
        for (CacheKey key : List.of(new CacheKey(List.of("lake", "x")), new CacheKey(List.of("", "x", "y")), new CacheKey(List.of("lake", "x", "y".repeat(1100))))) {
            Source source = new Source();
            assertTrue(cache.get(key, source).isEmpty());
            assertFalse(source.closed); // Trino reads it
        }
        manager.shutdown();
    }

    @Test
    void hasRoomBeyondTheHeapAndNothingElse() {
        BlobCacheManager manager = manager(Map.of("alio.sidecar", "127.0.0.1:1"));
        assertTrue(manager.hasCapability(CacheCapability.CAN_EXCEED_HEAP_SIZE));
        assertFalse(manager.hasCapability(CacheCapability.LOW_LATENCY));
        assertThrows(IllegalArgumentException.class, () -> manager.create(new CatalogName("c"), Set.of(CacheCapability.LOW_LATENCY)));
        manager.shutdown();
    }

    @Test
    void faultsAreNamed() {
        for (Map<String, String> bad : List.of(Map.of("alio.sidecar", " "), Map.of("alio.sidecar", "/s", "alio.deadline", "soon"), Map.of("alio.sidecar", "/s", "alio.deadlin", "1s"))) {
            String key = bad.size() == 1 ? "alio.sidecar" : bad.keySet().stream().filter(k -> !k.equals("alio.sidecar")).findFirst().orElseThrow();
            IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> manager(bad));
            assertTrue(e.getMessage().contains(key), e.getMessage());
        }
    }

    private static BlobCacheManager manager(Map<String, String> config) {
        return new AlioBlobCacheManagerFactory().create(config, CONTEXT);
    }
}
