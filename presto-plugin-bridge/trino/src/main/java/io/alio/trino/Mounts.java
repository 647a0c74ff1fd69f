package io.alio.trino;

import io.trino.filesystem.Location;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Which file of which mount a location is. Configured locations come first, the longest that holds a file decides; else a bucket of S3 or Google Cloud
 * Storage is the mount of its own name. Everything else (local files, other stores, HDFS that nobody has configured) has no mount.
 */
final class Mounts {
    /** A file as the sidecar names it. */
    record Place(String mount, String path) {}

    private record Entry(String scheme, String authority, String prefix, String mount) {}

    private static final Set<String> BUCKETS = Set.of("s3", "gs");
    private static final Map<String, String> SAME = Map.of("s3a", "s3", "s3n", "s3");

    private final List<Entry> entries;

    private Mounts(List<Entry> entries) {
        this.entries = entries;
    }

    /** Reads {@code location=mount} entries; an IllegalArgumentException names the one that is wrong. */
    static Mounts parse(List<String> texts) {
        List<Entry> entries = new ArrayList<>();
        Map<String, String> seen = new HashMap<>();
        for (String text : texts) {
            int at = text.lastIndexOf('=');
            String mount = at < 0 ? "" : text.substring(at + 1).trim();
            if (mount.isEmpty() || mount.startsWith("/") || mount.endsWith("/")) {
                throw new IllegalArgumentException("alio.mounts: \"" + text + "\" is not location=mount");
            }
            Location location = parseLocation(text.substring(0, at).trim(), text);
            Entry e = new Entry(scheme(location), authority(location), folder(location.path()), mount);
            if (seen.put(e.scheme + "://" + e.authority + "/" + e.prefix, mount) != null) {
                throw new IllegalArgumentException("alio.mounts: the location of \"" + text + "\" is there twice");
            }
            entries.add(e);
        }
        entries.sort(Comparator.comparingInt((Entry e) -> e.prefix.length()).reversed());
        return new Mounts(List.copyOf(entries));
    }

    private static Location parseLocation(String location, String entry) {
        try {
            Location l = Location.of(location.matches("[^/]+://[^/]+") ? location + "/" : location); // the root may be left out
            if (l.scheme().isPresent()) {
                return l;
            }
        } catch (RuntimeException e) {
            throw new IllegalArgumentException("alio.mounts: \"" + entry + "\" does not begin with a location: " + e.getMessage(), e);
        }
        throw new IllegalArgumentException("alio.mounts: \"" + entry + "\" does not begin with a location such as s3://bucket");
    }

    /** A folder's path with its final slash; "" is the root. */
    private static String folder(String path) {
        return path.isEmpty() || path.endsWith("/") ? path : path + "/";
    }

    /** The file as the sidecar names it; empty if it has no such place. */
    Optional<Place> place(Location location) {
        String scheme = scheme(location);
        String authority = authority(location);
        String path = location.path();
        for (Entry e : entries) {
            if (e.scheme.equals(scheme) && e.authority.equals(authority) && path.startsWith(e.prefix)) {
                return at(e.mount, path.substring(e.prefix.length()));
            }
        }
        return BUCKETS.contains(scheme) ? at(authority, path) : Optional.empty();
    }

    private static Optional<Place> at(String mount, String path) {
        return mount.isEmpty() || path.isEmpty() ? Optional.empty() : Optional.of(new Place(mount, path));
    }

    /** The scheme, one for all names of S3. */
    static String scheme(Location location) {
        String scheme = location.scheme().orElse("");
        return SAME.getOrDefault(scheme, scheme);
    }

    private static String authority(Location location) {
        String host = location.host().orElse("");
        return location.port().isPresent() ? host + ":" + location.port().getAsInt() : host;
    }
}
