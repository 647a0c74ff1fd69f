package io.alio.trino.blob;

import io.alio.client.AlioClient;
import io.alio.client.ClientFill;
import io.alio.client.OpenHints;
import io.alio.client.Opened;
import io.trino.spi.cache.Blob;
import io.trino.spi.cache.BlobCache;
import io.trino.spi.cache.BlobSource;
import io.trino.spi.cache.CacheKey;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/**
 * The cache of a catalog. Trino's key is taken whole: its first part, the catalog, is the mount, so that what one catalog's credentials may read is not shown to another's; the rest is
 * path and version together, since nothing tells where the one ends. Hence there is nothing to invalidate: another version is another file.
 */
final class AlioBlobCache implements BlobCache {
    private static final int MAX_VERSION = 1024;

    private final AlioClient client;

    AlioBlobCache(AlioClient client) {
        this.client = client;
    }

    /** Always has an answer: without a sidecar the blob reads its source. Empty only for a key that the protocol cannot carry; Trino then reads the source. */
    @Override
    public Optional<Blob> get(CacheKey key, BlobSource source) throws IOException {
        List<String> parts = key.components();
        String version = name(parts.subList(Math.min(1, parts.size()), parts.size()));
        if (parts.size() < 3 || parts.get(0).isEmpty() || version.getBytes(StandardCharsets.UTF_8).length > MAX_VERSION) {
            return Optional.empty();
        }
        long length;
        try {
            length = source.length();
        } catch (IOException | RuntimeException e) {
            source.close();
            throw e;
        }
        ClientFill fill = new ClientFill("trino-key", version, length, (object, position, b, offset, n) -> source.readFully(position, b, offset, n));
        Opened opened = client.open(parts.get(0), version, OpenHints.NONE.withLength(length).withFill(fill));
        return opened.isAvailable() ? Optional.of(new AlioBlob(opened.file(), source)) : Optional.empty();
    }

    /** The parts in one string, from which they could be told again: what separates them is escaped in them. */
    private static String name(List<String> parts) {
        StringBuilder out = new StringBuilder();
        for (String p : parts) {
            out.append(out.length() == 0 ? "" : "|").append(p.replace("\\", "\\\\").replace("|", "\\|"));
        }
        return out.toString();
    }

    @Override
    public void tryInvalidate(CacheKey prefix) {}
}
