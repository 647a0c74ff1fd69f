package io.alio.client;

import io.alio.client.ring.Ring;
import io.alio.client.ring.RingMember;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;

/**
 * Reads files through the sidecars of a fleet, for a process that has none beside it. It watches the ring, and asks for each section of a file the member that owns it, then who stands
 * by, and at last the reader that the caller gives: so what such processes read is kept where the engines' splits of the same files run, and the origin is read once. All methods may be
 * called in parallel.
 */
public final class FleetClient implements AutoCloseable {
    /** The sidecar of a member. */
    static final class Member {
        final String address;
        final AlioClient client;
        private int reads; // under way; under the lock of the FleetClient, as used
        private long used;

        Member(String address, AlioClient client) {
            this.address = address;
            this.client = client;
        }
    }

    /** What is asked of a member. */
    @FunctionalInterface
    interface Question<T> {
        /** @throws UnavailableException if somebody else should be asked, for reasons that {@link #elsewhere} names */
        T ask(Member m) throws IOException;
    }

    private static final ByteRange FIRST = new ByteRange(0, 1); // so no places are told of pages that cannot be read here anyway

    private final FleetOptions options;
    private final Warnings warnings;
    private final List<Control> controls = new ArrayList<>();
    private final EpochWatch watch;
    private final Map<String, Member> members = new HashMap<>(); // under this
    private boolean closed; // under this
    private long swept = System.nanoTime(); // under this
    private final LongAdder byOwner = new LongAdder();
    private final LongAdder byOthers = new LongAdder();
    private final LongAdder failed = new LongAdder();
    private final LongAdder byFallback = new LongAdder();

    private FleetClient(FleetOptions options) {
        this.options = options;
        warnings = new Warnings(options.warnings());
        for (String m : options.members()) {
            AlioOptions o = options.member(m);
            controls.add(new Control(o, Control.Service.AFFINITY, new AffinityCounters().calls, warnings));
        }
        watch = new EpochWatch(controls, new LongAdder(), warnings, String.join(", ", options.members()));
    }

    /**
     * Makes a client, and starts the thread that watches the ring. That nobody answers is no error here.
     *
     * @throws IllegalArgumentException names every fault of the options
     */
    public static FleetClient create(FleetOptions options) {
        options.validate();
        FleetClient c = new FleetClient(options);
        c.watch.start();
        return c;
    }

    /**
     * Opens a file at its present version, as fresh as the rules of the member demand that owns its beginning. Of the hints the ranges say nothing here.
     *
     * @throws UnavailableException with the reason; whatever it is, the caller's own file system has the last word
     */
    public FleetFile open(String mount, String path, OpenHints hints) throws IOException {
        if (hints.fill() != null) {
            throw new IllegalArgumentException("files of a fleet are read by its members, not filled");
        }
        OpenHints asked = hints.withRanges(Collections.singletonList(FIRST));
        return each(mount, path, 0, m -> new FleetFile(this, m, file(m, mount, path, asked)));
    }

    /** Opens a file at a member. */
    AlioFile file(Member m, String mount, String path, OpenHints hints) throws UnavailableException {
        Opened o = m.client.open(mount, path, hints);
        if (!o.isAvailable()) {
            throw new UnavailableException(o.reason(), o.message());
        }
        return o.file();
    }

    static OpenHints hints(String etag) {
        return OpenHints.NONE.withEtag(etag).withRanges(Collections.singletonList(FIRST));
    }

    /** Whether somebody else should be asked: it is the member that cannot, and not the origin that says something of the file. */
    static boolean elsewhere(Unavailable why) {
        return why == Unavailable.UNREACHABLE || why == Unavailable.DENIED || why == Unavailable.UNSUPPORTED;
    }

    /** Asks the owners of a file's section in order, until one has an answer. */
    <T> T each(String mount, String path, long offset, Question<T> q) throws IOException {
        StringBuilder why = new StringBuilder();
        int i = 0;
        for (String address : owners(mount, path, offset)) {
            Member m = acquire(address);
            try {
                T answer = q.ask(m);
                (i == 0 ? byOwner : byOthers).increment();
                return answer;
            } catch (UnavailableException e) {
                if (!elsewhere(e.reason())) {
                    throw e;
                }
                failed.increment();
                why.append("; ").append(address).append(": ").append(e.getMessage());
            } finally {
                release(m);
            }
            i++;
        }
        throw new UnavailableException(Unavailable.UNREACHABLE, "\"" + path + "\" in \"" + mount + "\": none of the section's owners could answer" + why);
    }

    /** The length of a section; {@link Long#MAX_VALUE} without a ring. */
    long sectionSize() {
        Ring r = watch.ring();
        return r == null ? Long.MAX_VALUE : r.sectionSize();
    }

    /** The addresses of the doors of those who own a section, in order. */
    private List<String> owners(String mount, String path, long offset) throws UnavailableException {
        Ring r = awaitRing();
        if (r.most() == 0) {
            throw new UnavailableException(Unavailable.UNREACHABLE, "nobody serves in the ring");
        }
        int[] slots;
        try {
            slots = r.owners(r.key(mount, path, offset), Math.min(options.owners(), r.most()));
        } catch (IllegalArgumentException e) {
            throw new UnavailableException(Unavailable.INVALID, e.getMessage());
        }
        List<String> out = new ArrayList<>();
        for (int i = 0; i < Math.min(slots.length, options.owners()); i++) {
            String a = door(r.members().get(slots[i]));
            if (!a.isEmpty() && !out.contains(a)) {
                out.add(a);
            }
        }
        if (out.isEmpty()) {
            throw new UnavailableException(Unavailable.UNREACHABLE, "none of the section's owners says where its gRPC door is: set affinity.sidecar in their configuration, or the port here");
        }
        return out;
    }

    private Ring awaitRing() throws UnavailableException {
        Ring r = watch.ring();
        try {
            r = r != null ? r : watch.await(options.firstEpochNanos());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (r == null) {
            throw new UnavailableException(Unavailable.UNREACHABLE, String.join(", ", options.members()) + " have told no ring (has one of them an affinity section?)");
        }
        return r;
    }

    /** Where a member's gRPC door is; "": it does not say. */
    private String door(RingMember m) {
        if (options.port() == 0) {
            return m.sidecar();
        }
        String known = m.sidecar().isEmpty() ? m.worker() : m.sidecar();
        int colon = known.lastIndexOf(':');
        return colon < 0 ? "" : known.substring(0, colon + 1) + options.port();
    }

    private Member acquire(String address) throws UnavailableException {
        List<Member> idle = new ArrayList<>();
        try {
            synchronized (this) {
                if (closed) {
                    throw new UnavailableException(Unavailable.CLOSED, "the client is closed");
                }
                sweep(idle);
                Member m = members.computeIfAbsent(address, a -> new Member(a, AlioClient.create(options.member(a))));
                m.reads++;
                return m;
            }
        } catch (IllegalArgumentException e) {
            throw new UnavailableException(Unavailable.UNREACHABLE, "a member announces " + address + ": " + e.getMessage());
        } finally {
            idle.forEach(m -> m.client.close());
        }
    }

    /** Takes out whom nobody has read from for long. */
    private void sweep(List<Member> idle) {
        long now = System.nanoTime();
        if (now - swept < options.idleNanos() / 4) {
            return;
        }
        swept = now;
        for (Iterator<Member> i = members.values().iterator(); i.hasNext(); ) {
            Member m = i.next();
            if (m.reads == 0 && now - m.used > options.idleNanos()) {
                i.remove();
                idle.add(m);
            }
        }
    }

    private synchronized void release(Member m) {
        m.reads--;
        m.used = System.nanoTime();
    }

    void readByFallback() {
        byFallback.increment();
    }

    /** How often who answered, since the client was made: the sections' owners, others of their owners, members that could not, the callers' own readers. */
    public String toString() {
        return "owner=" + byOwner + " standby=" + byOthers + " failed=" + failed + " fallback=" + byFallback;
    }

    /** Lets go of all connections. Files that are open can be read no more. It is safe twice. */
    @Override
    public void close() {
        List<Member> all;
        synchronized (this) {
            closed = true;
            all = new ArrayList<>(members.values());
            members.clear();
        }
        watch.close();
        controls.forEach(Control::close);
        all.forEach(m -> m.client.close());
    }
}
