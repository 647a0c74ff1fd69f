package io.alio.presto;

import java.net.URI;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Remembers the ETags of S3's listings, which Presto drops, until the splits of the files listed are made. A bounded number of them: a file whose ETag was
 * forgotten is read as if there were no listing.
 */
final class Listed {
    private static final int MOST = 50_000;
    private static volatile boolean wanted;
    private static final Map<String, Listed> ALL = new LinkedHashMap<String, Listed>(16, 0.75f, false) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Listed> eldest) {
            return size() > MOST;
        }
    };

    private final String etag;
    private final long size;
    private final long at;

    private Listed(String etag, long size, long at) {
        this.etag = etag;
        this.size = size;
        this.at = at;
    }

    /** Begins to remember: there is somebody who asks. */
    static void begin() {
        wanted = true;
    }

    static boolean isWanted() {
        return wanted;
    }

    /** Remembers a file of a listing that was asked for at a time of System.nanoTime. */
    static void add(String bucket, String key, String etag, long size, long asked) {
        synchronized (ALL) {
            ALL.remove(bucket + "/" + key); // to the end of the row
            ALL.put(bucket + "/" + key, new Listed(etag, size, asked));
        }
    }

    /** The ETag without quotes that a file of this size had in a listing that was asked for since a time; empty: there is none. */
    static String etag(URI file, long size, long since) {
        synchronized (ALL) {
            Listed l = ALL.get(file.getAuthority() + file.getPath());
            return l == null || l.size != size || l.at - since < 0 ? "" : l.etag;
        }
    }
}
