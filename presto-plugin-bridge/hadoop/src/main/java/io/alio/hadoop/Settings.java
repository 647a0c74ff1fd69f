package io.alio.hadoop;

import io.alio.client.AlioOptions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.function.UnaryOperator;

/** The bridge's properties, by default those of core-site.xml that begin with {@code alio.}; docs/presto.md lists them. */
final class Settings {
    /** How bytes come into the cache that are not there yet. */
    enum Fill {
        /** The sidecar reads them where it has the mount; else, and where it cannot read the file, the engine does and gives them. */
        AUTO,
        /** The sidecar reads them. */
        SIDECAR,
        /** The engine reads them by its own file system, with its own credentials, and gives them to the sidecar. */
        CLIENT,
    }

    private final UnaryOperator<String> get;
    private final List<String> faults = new ArrayList<>();
    private final boolean enabled;
    private final String address;
    private final String tokenFile;
    private final List<String> directories;
    private final Fill fill;
    private final AlioOptions.Guard guard;
    private final boolean mapping;
    private final boolean metadata;
    private final long controlMillis;
    private final long localMillis;
    private final Mounts mounts;
    private final boolean affinity;

    private Settings(UnaryOperator<String> get) {
        this.get = get;
        enabled = flag("alio.enabled", true);
        address = text("alio.address", "");
        tokenFile = text("alio.token.file", "");
        directories = list(text("alio.directories", ""));
        fill = one("alio.fill", Fill.AUTO);
        guard = one("alio.guard", AlioOptions.Guard.COLD);
        mapping = flag("alio.mapping", false);
        metadata = flag("alio.metadata", false);
        controlMillis = number("alio.control.ms", 20);
        localMillis = number("alio.local.ms", 250);
        mounts = mounts(text("alio.mounts", ""));
        affinity = flag("alio.affinity", false);
        if (enabled && address.isEmpty()) {
            faults.add("alio.address is not set: give the path of the sidecar's Unix socket (doors.grpc.socket), or host:port of its TCP door");
        }
    }

    static Settings of(UnaryOperator<String> get) {
        return new Settings(get);
    }

    private String text(String key, String otherwise) {
        String v = get.apply(key);
        return v == null ? otherwise : v.trim();
    }

    private static List<String> list(String text) {
        List<String> out = new ArrayList<>();
        for (String s : text.split(",")) {
            if (!s.trim().isEmpty()) {
                out.add(s.trim());
            }
        }
        return Collections.unmodifiableList(out);
    }

    private boolean flag(String key, boolean otherwise) {
        String v = text(key, String.valueOf(otherwise));
        if (!v.equalsIgnoreCase("true") && !v.equalsIgnoreCase("false")) {
            faults.add(key + " is \"" + v + "\", neither true nor false");
        }
        return v.equalsIgnoreCase("true");
    }

    private long number(String key, long otherwise) {
        String v = text(key, String.valueOf(otherwise));
        try {
            return Long.parseLong(v);
        } catch (NumberFormatException e) {
            faults.add(key + " is \"" + v + "\", no number");
            return otherwise;
        }
    }

    private <E extends Enum<E>> E one(String key, E otherwise) {
        String v = text(key, otherwise.name());
        Class<E> type = otherwise.getDeclaringClass();
        try {
            return Enum.valueOf(type, v.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            faults.add(key + " is \"" + v + "\", none of " + Arrays.toString(type.getEnumConstants()).toLowerCase(Locale.ROOT));
            return otherwise;
        }
    }

    private Mounts mounts(String text) {
        try {
            return Mounts.parse(list(text));
        } catch (IllegalArgumentException e) {
            faults.add("alio.mounts: " + e.getMessage());
            return Mounts.parse(Collections.emptyList());
        }
    }

    /** What is wrong, with the way out; empty if nothing is. */
    String fault() {
        return String.join("; ", faults);
    }

    /** Two settings of the same identity share a client. */
    String identity() {
        return enabled + "\n" + address + "\n" + tokenFile + "\n" + directories + "\n" + guard + "\n" + mapping + "\n" + controlMillis + "\n" + localMillis + "\n" + fault();
    }

    boolean enabled() {
        return enabled;
    }

    String address() {
        return address;
    }

    String tokenFile() {
        return tokenFile;
    }

    List<String> directories() {
        return directories;
    }

    Fill fill() {
        return fill;
    }

    AlioOptions.Guard guard() {
        return guard;
    }

    boolean mapping() {
        return mapping;
    }

    /** Whether the sidecar is asked which objects there are. */
    boolean metadata() {
        return metadata;
    }

    long controlMillis() {
        return controlMillis;
    }

    long localMillis() {
        return localMillis;
    }

    Mounts mounts() {
        return mounts;
    }

    boolean affinity() {
        return enabled && affinity;
    }

    String tag() {
        return text("alio.tag", "hadoop");
    }

    String jmxName() {
        return text("alio.jmx.name", "hadoop");
    }
}
