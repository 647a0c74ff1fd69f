package io.alio.client;

import io.alio.client.transport.ProtocolException;
import io.alio.client.wire.Replies;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/** What Status tells, and how far the client knows what became of places. */
final class Session {
    private static final int DEFAULT_FILES = 64;
    private static final int DEFAULT_PUT = 4 << 20;
    private static final long LOOK_AGAIN = 5_000_000_000L;

    /** A Status. */
    static final class Told {
        final String build;
        final List<String> mounts;
        final int maxFiles;
        final int maxPut;
        private final Map<Integer, Directory> directories = new HashMap<>(); // that can be read here, by their numbers

        Told(Replies.Status s) {
            build = s.build;
            mounts = s.mounts;
            maxFiles = s.maxFiles > 0 ? s.maxFiles : DEFAULT_FILES;
            maxPut = s.maxPutBytes > 0 ? s.maxPutBytes : DEFAULT_PUT;
        }

        /** null: the directory cannot be read here. */
        Segment.Name name(Replies.Segment s) {
            Directory d = directories.get(s.directory);
            return d == null ? null : new Segment.Name(d, s.instance, s.seq);
        }
    }

    private final AlioOptions options;
    private final Control control;
    private final Segments segments;
    private final List<Directory> directories;
    private final Counters counters;
    private final Warnings warnings;
    private final ReentrantLock asking = new ReentrantLock(); // one Status at a time
    private volatile Told told;
    private volatile boolean doubt; // a segment was not where it should be: look at the directories again
    private volatile long looked;
    private long generation; // under this

    Session(AlioOptions options, Control control, Segments segments, List<Directory> directories, Counters counters, Warnings warnings) {
        this.options = options;
        this.control = control;
        this.segments = segments;
        this.directories = directories;
        this.counters = counters;
        this.warnings = warnings;
    }

    /** Has the directories looked at again with the next call. */
    void suspectDirectories() {
        doubt = true;
    }

    synchronized long generation() {
        return generation;
    }

    /** What Status told, asking if that is not known. */
    Told current(Control.Patience p) throws Failure {
        Told t = told;
        if (t == null) {
            asking.lock();
            try {
                return told != null ? told : ask(p);
            } finally {
                asking.unlock();
            }
        }
        if (!doubt || System.nanoTime() - looked < LOOK_AGAIN || !asking.tryLock()) {
            return t;
        }
        try {
            return ask(control.control);
        } catch (Failure e) {
            return t; // what was known still serves
        } finally {
            asking.unlock();
        }
    }

    private Told ask(Control.Patience p) throws Failure {
        doubt = false;
        looked = System.nanoTime();
        Replies.Status answer;
        try {
            answer = Replies.Status.parse(control.call("Status", new byte[0], p));
        } catch (ProtocolException e) {
            counters.senseless.increment();
            throw new Failure(Unavailable.UNREACHABLE, "the sidecar's status makes no sense: " + e.getMessage());
        }
        Told t = new Told(answer);
        Map<String, Directory> byId = new HashMap<>();
        for (Directory d : directories) {
            if (!d.device.usable()) {
                continue;
            }
            try {
                byId.put(d.identify(options.localNanos()), d);
            } catch (IOException | Device.Late e) {
                warnings.warn("identify " + d.path, "the cache directory " + d.path + " cannot be identified; its pages are asked of the sidecar until it can. "
                        + "May this user read it, and is it the sidecar's? (" + e + ")");
            }
        }
        boolean any = false;
        for (Replies.Directory d : answer.directories) {
            Directory own = byId.get(d.id);
            if (own != null) {
                t.directories.put(d.number, own);
                any = true;
            }
        }
        if (!any && !byId.isEmpty()) {
            warnings.warn("foreign directories", "none of the cache directories " + byId.values().iterator().next().path + " … is the sidecar's; pages are asked of it");
        }
        told = t;
        return t;
    }

    /**
     * Takes an OpenReply to a request that carried the generation since: what was retired, and the segments that it names, null for those that cannot be read
     * here.
     */
    Segment[] apply(long since, Replies.Open answer, Control.Patience p) {
        synchronized (this) {
            if (answer.forget && since != 0 && since == generation) {
                told = null; // directories have other numbers in another process
                counters.forgets.increment();
                segments.forget();
            }
            if (since == generation) {
                generation = answer.generation;
            } // else another answer was applied meanwhile; what has been retired since is told again
        }
        Segment[] out = new Segment[answer.segments.size()];
        Told t;
        try {
            t = current(p);
        } catch (Failure e) {
            return out;
        }
        for (Replies.Segment r : answer.retired) {
            Segment.Name n = t.name(r);
            if (n != null && segments.retire(n)) {
                counters.retiredSegments.increment();
            }
        }
        for (int i = 0; i < out.length; i++) {
            Segment.Name n = t.name(answer.segments.get(i));
            if (n != null) {
                out[i] = segments.get(n);
            } else if (!directories.isEmpty()) {
                suspectDirectories(); // perhaps one has come, or has come back
            }
        }
        return out;
    }
}
