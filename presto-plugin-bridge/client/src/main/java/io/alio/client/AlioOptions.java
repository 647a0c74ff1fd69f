package io.alio.client;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import javax.net.ssl.SSLContext;

/**
 * Configures an {@link AlioClient}: {@code AlioOptions.of("/run/alio/alio.sock").directories(...)}. The address is required; everything else has a default.
 * Not for use by several threads until the client is made, which takes a copy.
 */
public final class AlioOptions implements Cloneable {
    /** Which local reads are made by a thread of the client's own, with a deadline, so that a device that hangs cannot hold the caller's. */
    public enum Guard {
        /** Every read. A read of a page that the operating system has in memory then costs the change of threads besides. */
        ALL,
        /** Reads of pages that this client has not read within the last minute, and that may have to come from the device. The default. */
        COLD,
        /** None: for devices that do not hang. */
        NONE,
    }

    private final String address;
    private String token = "";
    private SSLContext tls; // null: none
    private List<Path> directories = Collections.emptyList();
    private int openSegments = 256;
    private int views = 4096;
    private long viewMemory = 64L << 20;
    private long putMemory = 32L << 20;
    private boolean mapping;
    private Guard guard = Guard.COLD;
    private long controlMillis = 20;
    private long readMillis = 30_000;
    private long localMillis = 250;
    private int localReaders = 32;
    private long backoffMillis = 2_000;
    private long touchMillis = 2_000;
    private long refreshMillis = 100;
    private String tag = "";
    private String jmxName = "";
    private Consumer<String> warnings;

    private AlioOptions(String address) {
        this.address = Objects.requireNonNull(address, "address");
    }

    /**
     * Where the sidecar listens: the path of its Unix socket (with a slash in it, for Java 16 and later), or host:port of its TCP door, which wants a
     * {@link #token}, and beyond loopback {@link #tls}.
     */
    public static AlioOptions of(String address) {
        return new AlioOptions(address);
    }

    /** Sent with every call, for a sidecar that wants one (TCP). */
    public AlioOptions token(String value) {
        token = Objects.requireNonNull(value, "token");
        return this;
    }

    /** TLS to a TCP door (default: none). The door's certificate must be of the host in the address, and one that context trusts. */
    public AlioOptions tls(SSLContext context) {
        tls = context;
        return this;
    }

    /**
     * The sidecar's cache directories as this process sees them. Only segments in these are read locally, and only after the identity in them was compared
     * with what the sidecar says. None (the default): everything travels through the connection.
     */
    public AlioOptions directories(List<Path> value) {
        directories = Collections.unmodifiableList(new ArrayList<>(value));
        return this;
    }

    /** {@link #directories(List)} by name. */
    public AlioOptions directories(String... value) {
        List<Path> paths = new ArrayList<>();
        for (String s : value) {
            paths.add(Paths.get(s));
        }
        return directories(paths);
    }

    /** Bounds the segment files that are open at once (default 256). */
    public AlioOptions openSegments(int value) {
        openSegments = value;
        return this;
    }

    /** Bounds how many objects' pages are remembered beside those of open files (default 4,096). */
    public AlioOptions views(int value) {
        views = value;
        return this;
    }

    /** Bounds the bytes of memory for that (default 64 MiB: about 1.4 million pages). One object may take half of it. */
    public AlioOptions viewMemory(long value) {
        viewMemory = value;
        return this;
    }

    /** Bounds the bytes of pages that wait to be put, in client-filled mode (default 32 MiB). What does not fit is not put. */
    public AlioOptions putMemory(long value) {
        putMemory = value;
        return this;
    }

    /**
     * Reads sealed segments by mapping them (default no): faster, at the price that a read which has to wait for the device can be neither bounded nor
     * counted, and stops the virtual machine's safepoints meanwhile. For devices that do not hang. What is mapped takes address space until the garbage
     * collector finds that nothing uses it.
     */
    public AlioOptions mapping(boolean value) {
        mapping = value;
        return this;
    }

    /** Which local reads are made by threads of the client's own (default {@link Guard#COLD}). */
    public AlioOptions guard(Guard value) {
        guard = Objects.requireNonNull(value, "guard");
        return this;
    }

    /**
     * How long the sidecar may take for an answer that needs no origin (default 20 ms). A call that may need the origin is given up when nothing
     * was heard of the sidecar for so long, though it was asked whether it lives.
     */
    public AlioOptions controlMillis(long value) {
        controlMillis = value;
        return this;
    }

    /** How long a call may take that may need the origin, for each sign of progress (default 30 s). */
    public AlioOptions readMillis(long value) {
        readMillis = value;
        return this;
    }

    /** How long the device may take for a page, before the sidecar is asked for it (default 250 ms). */
    public AlioOptions localMillis(long value) {
        localMillis = value;
        return this;
    }

    /** Bounds how many reads may wait for one directory's device at once (default 32). */
    public AlioOptions localReaders(int value) {
        localReaders = value;
        return this;
    }

    /** The longest pause between attempts to connect, and for which a question whether the sidecar lives is left open (default 2 s). */
    public AlioOptions backoffMillis(long value) {
        backoffMillis = value;
        return this;
    }

    /** How often reads that were made locally are reported, while there are any (default 2 s). */
    public AlioOptions touchMillis(long value) {
        touchMillis = value;
        return this;
    }

    /** The least time between two questions where an object's pages lie now (default 100 ms). */
    public AlioOptions refreshMillis(long value) {
        refreshMillis = value;
        return this;
    }

    /** What the client reads for, where {@link OpenHints#withTag} says nothing; at most 128 bytes. */
    public AlioOptions tag(String value) {
        tag = Objects.requireNonNull(value, "tag");
        return this;
    }

    /**
     * Registers the counters with the platform's JMX server as {@code io.alio:type=Client,name=<value>} ("": not; the default). If another client of the
     * process has that name, a number is put behind it, and a warning says so.
     */
    public AlioOptions jmxName(String value) {
        jmxName = Objects.requireNonNull(value, "jmxName");
        return this;
    }

    /** Takes rare warnings, a sentence each, at most one of a kind a minute. Default: java.util.logging's "io.alio.client". */
    public AlioOptions warnings(Consumer<String> value) {
        warnings = value;
        return this;
    }

    /** Reports every fault at once. */
    void validate() {
        List<String> faults = new ArrayList<>();
        fault(faults, address.isEmpty(), "no address: give the path of the sidecar's Unix socket, or host:port");
        if (!address.isEmpty() && !isSocket()) {
            fault(faults, !address.matches(".+:[0-9]{1,5}"), "address \"" + address + "\" is neither the path of a Unix socket (with a slash) nor host:port");
        }
        fault(faults, tls != null && isSocket(), "TLS is for TCP; the Unix socket \"" + address + "\" has none");
        for (Path p : directories) {
            fault(faults, !p.isAbsolute(), "cache directory \"" + p + "\" is not an absolute path");
        }
        fault(faults, openSegments < 1, "open segments " + openSegments + ": at least 1");
        fault(faults, views < 1, "views " + views + ": at least 1");
        fault(faults, viewMemory < 64 << 10, "view memory of " + viewMemory + " bytes: at least " + (64 << 10));
        fault(faults, putMemory < 0, "put memory of " + putMemory + " bytes is negative");
        fault(faults, localReaders < 1, "local readers " + localReaders + ": at least 1");
        fault(faults, tag.getBytes(StandardCharsets.UTF_8).length > 128, "tag of more than 128 bytes");
        long[] times = {controlMillis, readMillis, localMillis, backoffMillis, touchMillis, refreshMillis};
        String[] names = {"control", "read", "local", "backoff", "touch", "refresh"};
        for (int i = 0; i < times.length; i++) {
            fault(faults, times[i] < 1 || times[i] > 86_400_000, names[i] + " milliseconds " + times[i] + ": 1 to 86,400,000");
        }
        if (!faults.isEmpty()) {
            throw new IllegalArgumentException("alio: " + String.join("; ", faults));
        }
    }

    private static void fault(List<String> faults, boolean bad, String text) {
        if (bad) {
            faults.add(text);
        }
    }

    AlioOptions copy() {
        try {
            return (AlioOptions) clone();
        } catch (CloneNotSupportedException e) {
            throw new AssertionError(e);
        }
    }

    /** Whether the address is a Unix socket's. */
    boolean isSocket() {
        return address.indexOf('/') >= 0;
    }

    String address() {
        return address;
    }

    String token() {
        return token;
    }

    SSLContext tls() {
        return tls;
    }

    List<Path> directories() {
        return directories;
    }

    int openSegments() {
        return openSegments;
    }

    int views() {
        return views;
    }

    long viewMemory() {
        return viewMemory;
    }

    long putMemory() {
        return putMemory;
    }

    boolean mapping() {
        return mapping;
    }

    Guard guard() {
        return guard;
    }

    long controlNanos() {
        return controlMillis * 1_000_000;
    }

    long readNanos() {
        return readMillis * 1_000_000;
    }

    long localNanos() {
        return localMillis * 1_000_000;
    }

    int localReaders() {
        return localReaders;
    }

    long backoffNanos() {
        return backoffMillis * 1_000_000;
    }

    long touchNanos() {
        return touchMillis * 1_000_000;
    }

    long refreshNanos() {
        return refreshMillis * 1_000_000;
    }

    String tag() {
        return tag;
    }

    String jmxName() {
        return jmxName;
    }

    Consumer<String> warnings() {
        return warnings;
    }
}
