package io.alio.presto;

import io.alio.hadoop.Known;
import java.net.URI;

/**
 * The version of a file that came with a split, while the split's page source is made: that is when its files are opened, on the same thread. It is not kept
 * longer, since a version is the present one only for who has just listed it.
 */
final class Carried {
    private static final ThreadLocal<Carried> NOW = new ThreadLocal<>();

    private final String file; // as the path's URI spells it
    private final Known known;

    private Carried(String file, Known known) {
        this.file = file;
        this.known = known;
    }

    static Known of(URI file) {
        Carried c = NOW.get();
        return c != null && c.file.equals(file.toString()) ? c.known : Known.NOTHING;
    }

    static void set(URI file, Known known) {
        NOW.set(new Carried(file.toString(), known));
    }

    static void clear() {
        NOW.remove();
    }
}
