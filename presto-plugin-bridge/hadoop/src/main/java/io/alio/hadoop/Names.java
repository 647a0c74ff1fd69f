package io.alio.hadoop;

import io.alio.client.AlioClient;
import io.alio.client.Listing;
import io.alio.client.Presence;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * Asks the sidecar which objects of a store there are, where {@code alio.metadata} is true: it answers from what it has heard within the max_age of its rules. Whatever it
 * cannot tell is empty, and the engine asks the store itself.
 */
public final class Names {
    /** One page of a listing, with names as the bucket has them. */
    public static final class Page {
        private final Listing listing;
        private final String before;

        Page(Listing listing, String before) {
            this.listing = listing;
            this.before = before;
        }

        public Listing listing() {
            return listing;
        }

        /** The name that the bucket has for one of the listing's. */
        public String key(String path) {
            return before + path;
        }
    }

    private final Bridge bridge;
    private final Mounts mounts;

    private Names(Bridge bridge, Mounts mounts) {
        this.bridge = bridge;
        this.mounts = mounts;
    }

    /** {@code get} looks a property up (null: not set). Null: the sidecar is not to be asked. */
    public static Names of(UnaryOperator<String> get) {
        Settings s = Settings.of(get);
        Bridge b = Bridge.of(get);
        return s.metadata() && b.client() != null ? new Names(b, s.mounts()) : null;
    }

    /** Whether an object of a bucket is there. */
    public Optional<Presence> presence(String bucket, String key) {
        Mounts.Place p = mounts.place("s3", bucket, "/" + key);
        Optional<Presence> found = p == null ? Optional.empty() : attempt(c -> c.presence(p.mount, p.path));
        return counted(found);
    }

    /** One page of a listing of a bucket; {@code token} is the page's before. */
    public Optional<Page> list(String bucket, String prefix, String delimiter, String token, int maxKeys) {
        Mounts.Place p = mounts.place("s3", bucket, "/" + prefix);
        Optional<Listing> found = p == null ? Optional.empty() : attempt(c -> c.list(p.mount, p.path, delimiter, "", token, maxKeys));
        return counted(found.map(l -> new Page(l, prefix.substring(0, prefix.length() - p.path.length()))));
    }

    private interface Question<T> {
        Optional<T> ask(AlioClient client);
    }

    /** A fault of ours is no reason to fail a query. */
    private <T> Optional<T> attempt(Question<T> q) {
        try {
            return q.ask(bridge.client());
        } catch (RuntimeException e) {
            bridge.warnings().warn("fault", "the engine asks the store itself, since the bridge failed: " + e);
            return Optional.empty();
        }
    }

    private <T> Optional<T> counted(Optional<T> found) {
        (found.isPresent() ? bridge.counters().namesAnswered : bridge.counters().namesBypassed).increment();
        return found;
    }
}
