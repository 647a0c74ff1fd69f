package io.alio.trino;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Folders in which the sidecar has found files that Trino asked it for. Only there is it believed that another file is not there: where a mount is not the place that the catalog
 * says, or is empty, nothing is found at all, and Trino looks by itself.
 */
final class Folders {
    private static final int MOST = 10_000; // each 0.2 kB; what is forgotten costs Trino a question

    private final Set<String> found = ConcurrentHashMap.newKeySet();

    void found(Mounts.Place file) {
        if (found.size() >= MOST) {
            found.clear();
        }
        found.add(folder(file));
    }

    boolean have(Mounts.Place file) {
        return found.contains(folder(file));
    }

    private static String folder(Mounts.Place file) {
        return file.mount() + "/" + file.path().substring(0, file.path().lastIndexOf('/') + 1);
    }
}
