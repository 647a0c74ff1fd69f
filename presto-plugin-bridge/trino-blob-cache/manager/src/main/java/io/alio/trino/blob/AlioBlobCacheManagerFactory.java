package io.alio.trino.blob;

import io.alio.client.AlioClient;
import io.alio.client.AlioOptions;
import io.trino.spi.cache.BlobCacheManager;
import io.trino.spi.cache.BlobCacheManagerFactory;
import io.trino.spi.cache.CacheManagerContext;
import java.util.Map;
import java.util.TreeMap;

/** Makes the manager from the properties of {@code etc/cache-manager-alio.properties}. */
public final class AlioBlobCacheManagerFactory implements BlobCacheManagerFactory {
    @Override
    public String getName() {
        return "alio";
    }

    /** @throws IllegalArgumentException names the property that is missing, wrong or unknown */
    @Override
    public BlobCacheManager create(Map<String, String> config, CacheManagerContext context) {
        Map<String, String> left = new TreeMap<>(config);
        left.remove("cache-manager.name");
        String sidecar = left.remove("alio.sidecar");
        if (sidecar == null || sidecar.isBlank()) {
            throw new IllegalArgumentException("alio.sidecar is not set: give the path of the sidecar's Unix socket, or host:port");
        }
        AlioOptions options = AlioOptions.of(sidecar.trim()).jmxName("blob-cache").tag("trino");
        String directories = left.remove("alio.directories");
        if (directories != null && !directories.isBlank()) {
            options.directories(directories.trim().split("\\s*,\\s*"));
        }
        String token = left.remove("alio.token");
        if (token != null) {
            options.token(token);
        }
        String deadline = left.remove("alio.deadline");
        if (deadline != null) {
            options.controlMillis(millis(deadline));
        }
        if (!left.isEmpty()) {
            throw new IllegalArgumentException("unknown properties " + left.keySet() + ": known are alio.sidecar, alio.directories, alio.token, alio.deadline");
        }
        return new AlioBlobCacheManager(AlioClient.create(options));
    }

    private static long millis(String text) {
        String t = text.trim();
        try {
            if (t.endsWith("ms")) {
                return Long.parseLong(t.substring(0, t.length() - 2).trim());
            }
            if (t.endsWith("s")) {
                return Math.multiplyExact(1000, Long.parseLong(t.substring(0, t.length() - 1).trim()));
            }
        } catch (NumberFormatException | ArithmeticException e) {
            throw new IllegalArgumentException("alio.deadline=" + text + " is not a duration such as 20ms", e);
        }
        throw new IllegalArgumentException("alio.deadline=" + text + " is not a duration such as 20ms");
    }
}
