package io.alio.hadoop;

import java.net.URI;
import java.net.URISyntaxException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Says which of the sidecar's mounts holds a file: what {@code alio.mounts} names as {@code name=uri}, the longest one that fits, and without that, for
 * object stores, the mount with the bucket's name.
 */
final class Mounts {
    /** Where a file lies for the sidecar. */
    static final class Place {
        final String mount;
        final String path;

        Place(String mount, String path) {
            this.mount = mount;
            this.path = path;
        }
    }

    private static final class Mount {
        final String name;
        final String scheme;
        final String authority;
        final String prefix; // "" or "/a/b"

        Mount(String name, URI uri) {
            this.name = name;
            this.scheme = family(uri.getScheme());
            this.authority = uri.getAuthority() == null ? "" : uri.getAuthority();
            String p = uri.getPath() == null ? "" : uri.getPath();
            while (p.endsWith("/")) {
                p = p.substring(0, p.length() - 1);
            }
            this.prefix = p;
        }

        /** The path within the mount; null if the file does not lie there. */
        String within(String scheme, String authority, String path) {
            boolean fits = this.scheme.equals(scheme) && this.authority.equals(authority) && path.startsWith(prefix + "/");
            return fits ? path.substring(prefix.length() + 1) : null;
        }
    }

    private final List<Mount> all;

    private Mounts(List<Mount> all) {
        this.all = all;
    }

    /** @throws IllegalArgumentException names what is wrong */
    static Mounts parse(List<String> entries) {
        List<Mount> all = new ArrayList<>();
        for (String e : entries) {
            int eq = e.indexOf('=');
            try {
                URI uri = new URI(e.substring(eq + 1).trim());
                if (eq < 1 || uri.getScheme() == null || uri.isOpaque()) {
                    throw new IllegalArgumentException("\"" + e + "\" is not name=scheme://authority/path");
                }
                all.add(new Mount(e.substring(0, eq).trim(), uri));
            } catch (URISyntaxException x) {
                throw new IllegalArgumentException("\"" + e + "\": " + x.getMessage(), x);
            }
        }
        all.sort((a, b) -> b.prefix.length() - a.prefix.length());
        return new Mounts(all);
    }

    /** s3a and s3n are other names of s3: what Presto calls a table's bucket by. */
    private static String family(String scheme) {
        String s = scheme == null ? "" : scheme.toLowerCase(Locale.ROOT);
        return s.equals("s3a") || s.equals("s3n") ? "s3" : s;
    }

    /** Where a file lies; null: in no mount. A folder's name, with a slash at its end, names no file. */
    Place find(URI file) {
        String authority = file.getAuthority() == null ? "" : file.getAuthority();
        String path = file.getPath();
        return path == null || path.isEmpty() || path.endsWith("/") ? null : place(file.getScheme(), authority, path);
    }

    /** Where a name lies, a folder's too; null: in no mount. */
    Place place(String uriScheme, String authority, String path) {
        String scheme = family(uriScheme);
        for (Mount m : all) {
            String within = m.within(scheme, authority, path);
            if (within != null) {
                return new Place(m.name, within);
            }
        }
        boolean store = scheme.equals("s3") || scheme.equals("gs");
        String bucket = authority.replaceFirst("^.*@", "").replaceFirst(":[0-9]*$", "");
        return store && !bucket.isEmpty() ? new Place(bucket, path.substring(1)) : null;
    }

    /** Where a file of no mount lies for clients that fill it themselves: they only have to agree on the name. */
    static Place unmounted(URI file) {
        String name = family(file.getScheme()) + "-" + (file.getAuthority() == null ? "" : file.getAuthority());
        return new Place(name.replaceAll("[^A-Za-z0-9._-]", "-"), file.getPath().replaceFirst("^/+", ""));
    }
}
