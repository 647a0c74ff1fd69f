package io.alio.client;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import javax.net.ssl.SSLContext;

/**
 * Configures a {@link FleetClient}: {@code FleetOptions.of("alio-1:9490", "alio-2:9490").token(...)}. Not for use by several threads until the client is made.
 */
public final class FleetOptions {
    private final List<String> members;
    private int port;
    private String token = "";
    private SSLContext tls;
    private int owners = 2;
    private long firstEpochMillis = 2_000;
    private long controlMillis = 250;
    private long readMillis = 30_000;
    private long idleMillis = 300_000;
    private String tag = "";
    private Consumer<String> warnings;

    private FleetOptions(List<String> members) {
        this.members = members;
    }

    /**
     * gRPC doors, host:port, at which the ring can be watched: of some sidecars with an affinity section, or of {@code alio affinity}. One that answers is enough; who is a
     * member, and where, the ring tells.
     */
    public static FleetOptions of(String... members) {
        return new FleetOptions(Collections.unmodifiableList(new ArrayList<>(Arrays.asList(members))));
    }

    /**
     * The port of the members' gRPC doors, on the hosts that they announce in affinity.sidecar. 0 (the default): they announce these doors themselves, as they do where they do
     * not read from one another (peers.listen).
     */
    public FleetOptions port(int value) {
        port = value;
        return this;
    }

    /** Shown at every door (doors.grpc.tokens). */
    public FleetOptions token(String value) {
        token = Objects.requireNonNull(value, "token");
        return this;
    }

    /** TLS to all doors (default: none). */
    public FleetOptions tls(SSLContext context) {
        tls = context;
        return this;
    }

    /** How many of a section's owners are tried before the caller's own way, in order (default 2). */
    public FleetOptions owners(int value) {
        owners = value;
        return this;
    }

    /** How long an open waits for the first epoch of the ring (default 2 s). */
    public FleetOptions firstEpochMillis(long value) {
        firstEpochMillis = value;
        return this;
    }

    /** How long a member may take for an answer that needs no origin, before another is tried (default 250 ms: it is another machine). */
    public FleetOptions controlMillis(long value) {
        controlMillis = value;
        return this;
    }

    /** How long a call may take that may need the origin, for each sign of progress (default 30 s). */
    public FleetOptions readMillis(long value) {
        readMillis = value;
        return this;
    }

    /** After how long without a read the connection to a member is closed (default 5 min). */
    public FleetOptions idleMillis(long value) {
        idleMillis = value;
        return this;
    }

    /** What is read for (a query, a job), in the sidecars' logs and metrics; at most 128 bytes. */
    public FleetOptions tag(String value) {
        tag = Objects.requireNonNull(value, "tag");
        return this;
    }

    /** Takes rare warnings, a sentence each, at most one of a kind a minute. Default: java.util.logging's "io.alio.client". */
    public FleetOptions warnings(Consumer<String> value) {
        warnings = value;
        return this;
    }

    /** Reports what is wrong. */
    void validate() {
        List<String> faults = new ArrayList<>();
        if (members.isEmpty()) {
            faults.add("no members: give host:port of the gRPC door of one at least");
        }
        if (port < 0 || port > 65_535) {
            faults.add("port " + port + " is none");
        }
        if (owners < 1) {
            faults.add("owners " + owners + ": at least 1");
        }
        if (firstEpochMillis < 0 || idleMillis < 1) {
            faults.add("first epoch " + firstEpochMillis + " ms, idle " + idleMillis + " ms: give neither below 0, and idle at least 1");
        }
        if (!faults.isEmpty()) {
            throw new IllegalArgumentException("alio: " + String.join("; ", faults));
        }
        for (String m : members) {
            AlioOptions o = member(m);
            o.validate();
            if (o.isSocket()) {
                throw new IllegalArgumentException("alio: member \"" + m + "\" is a Unix socket's: a fleet is reached by host:port");
            }
        }
    }

    /** What the client of one member is made with. Nothing of a member lies on this machine: no places are asked for, and little is remembered. */
    AlioOptions member(String address) {
        return AlioOptions.of(address).token(token).tls(tls).controlMillis(controlMillis).readMillis(readMillis).tag(tag).warnings(warnings).openSegments(1).views(1024).viewMemory(1 << 20)
                .refreshMillis(86_400_000).touchMillis(60_000);
    }

    List<String> members() {
        return members;
    }

    int port() {
        return port;
    }

    int owners() {
        return owners;
    }

    long firstEpochNanos() {
        return firstEpochMillis * 1_000_000;
    }

    long idleNanos() {
        return idleMillis * 1_000_000;
    }

    Consumer<String> warnings() {
        return warnings;
    }
}
