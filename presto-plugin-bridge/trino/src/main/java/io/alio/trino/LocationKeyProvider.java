package io.alio.trino;

import io.trino.filesystem.Location;
import io.trino.filesystem.TrinoInputFile;
import io.trino.filesystem.cache.CacheKeyProvider;
import java.util.Optional;

/**
 * Says which files go through {@link AlioFileSystemCache}. Its keys are locations and no more than a name to Trino: the sidecar keys by content.
 */
final class LocationKeyProvider implements CacheKeyProvider {
    @Override
    public Optional<String> getCacheKey(TrinoInputFile file) {
        return isHidden(file.location()) ? Optional.empty() : Optional.of(file.location().toString());
    }

    /**
     * Whether a file is hidden, or in a hidden folder: the file metastore's own (.trinoSchema, .trinoPermissions, .roles), which it rewrites in place and
     * reads back at once, Hudi's logs, which grow, and staging folders. Hudi's timeline is not among them.
     */
    static boolean isHidden(Location location) {
        String path = "/" + location.path();
        for (int at = path.indexOf("/."); at >= 0; at = path.indexOf("/.", at + 1)) {
            if (!path.startsWith("/.hoodie/", at)) {
                return true;
            }
        }
        return false;
    }
}
