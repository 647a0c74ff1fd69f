package io.alio.hadoop;

import io.alio.client.AlioClient;
import io.alio.client.AlioFile;
import io.alio.client.AlioObject;
import io.alio.client.ClientFill;
import io.alio.client.OpenHints;
import io.alio.client.Opened;
import io.alio.client.OriginReader;
import io.alio.client.Unavailable;
import java.io.IOException;
import java.net.URI;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.UnaryOperator;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileSystem;

/** Opens files of one file system at the sidecar, and otherwise at the file system behind. */
public final class Opener {
    /** A file and the version of it that was known when it was opened at the sidecar. */
    static final class At {
        final AlioFile file;
        final Known known;

        At(AlioFile file, Known known) {
            this.file = file;
            this.known = known;
        }
    }

    /** Files of up to this size, if it is known, are opened with the first read: engines read small ones whole (ORC's up to 8 MiB by default), and then it takes one request. */
    private static final long MOST_WHOLE = 16 << 20;

    private static final long MOUNT_MEMORY = 30_000_000_000L; // after that the sidecar is asked again whether it has a mount

    private final Bridge bridge;
    private final Settings settings;
    private final Map<String, Long> missingMounts = new ConcurrentHashMap<>();
    private final Set<String> incomparable = ConcurrentHashMap.newKeySet(); // mounts

    private Opener(Bridge bridge, Settings settings) {
        this.bridge = bridge;
        this.settings = settings;
    }

    /** {@code get} looks a property up; null: not set. */
    public static Opener of(UnaryOperator<String> get) {
        return new Opener(Bridge.of(get), Settings.of(get));
    }

    /**
     * Opens a file.
     *
     * @param file its whole name, scheme and all
     * @param statistics counts what is read; may be null
     */
    public FSDataInputStream open(URI file, int bufferSize, FileSystem.Statistics statistics, Behind behind) throws IOException {
        AlioClient client = bridge.client();
        if (client == null) {
            bridge.counters().passed.increment();
            return behind.open();
        }
        Mounts.Place place = settings.mounts().find(file);
        Known known = behind.known();
        if (known.uncached() || place == null && !known.fillable()) {
            bridge.counters().passed.increment();
            return behind.open();
        }
        AlioInputStream in = new AlioInputStream(this, file, place, behind, bufferSize, statistics);
        if (place != null && settings.fill() != Settings.Fill.CLIENT && known.length() > 0 && known.length() <= MOST_WHOLE) {
            return new FSDataInputStream(in.later(known));
        }
        return in.begin(known) ? new FSDataInputStream(in) : behind.open();
    }

    /**
     * Opens a file at the sidecar; null: it cannot serve it.
     *
     * @param whole whether all of it is about to be read; its length is known then
     */
    At atSidecar(URI file, Mounts.Place place, Known known, boolean whole, Behind behind, OriginReader filler) throws IOException {
        Opened o = place == null || settings.fill() == Settings.Fill.CLIENT ? null : readThrough(file, place, known, whole);
        Known at = known;
        boolean fill = o == null || o.reason() == Unavailable.INVALID || o.reason() == Unavailable.UNSUPPORTED;
        if (fill && settings.fill() != Settings.Fill.SIDECAR) {
            at = behind.forFilling(known);
            if (at.fillable()) {
                o = filled(file, place != null ? place : Mounts.unmounted(file), at, filler);
            }
        }
        if (o != null && o.isAvailable()) {
            bridge.counters().opened.increment();
            return new At(o.file(), at);
        }
        bridge.counters().bypassed.increment();
        if (o == null) {
            warn("version", file + " is read by the engine's own file system: no version of the file is known here, so it cannot be filled; set alio.fill to sidecar");
        } else if (o.reason() != Unavailable.NOT_FOUND && o.reason() != Unavailable.UNREACHABLE) { // of which the client has warned
            warn(o.reason().name(), file + " is read by the engine's own file system: " + o.message());
        }
        return null;
    }

    private Opened readThrough(URI file, Mounts.Place p, Known known, boolean whole) {
        Long missing = missingMounts.get(p.mount);
        if (missing != null && System.nanoTime() - missing < MOUNT_MEMORY) {
            return null;
        }
        OpenHints hints = OpenHints.NONE.withEtag(known.etag()).withLength(known.length()).withWhole(whole);
        Opened o = attempt(file, p, hints);
        if (older(o, p, known)) {
            String etag = o.isAvailable() ? o.file().object().etag() : "";
            bridge.counters().confirmed.increment();
            bridge.client().invalidate(p.mount, p.path, false);
            o = attempt(file, p, hints);
            if (known.etag().isEmpty() && o != null && o.isAvailable() && o.file().object().etag().equals(etag)) {
                incomparable.add(p.mount); // asked again, the origin says that nothing is newer: its listings' times are not those of its files
            }
        }
        if (o != null && o.reason() == Unavailable.INVALID) {
            missingMounts.put(p.mount, System.nanoTime());
        }
        return o;
    }

    /**
     * Whether the sidecar knows another version than the one that the engine has just learned of. It may do so within the max_age of its rules, but the engine
     * reads by what it was told: of a file that is shorter or longer by now it would make nonsense.
     */
    private boolean older(Opened o, Mounts.Place p, Known known) {
        if (o == null || !o.isAvailable()) {
            return o != null && o.reason() == Unavailable.CHANGED;
        }
        AlioObject have = o.file().object();
        if (!known.etag().isEmpty()) {
            return !have.etag().equals(known.etag());
        }
        return known.modifiedMillis() > 0 && have.modifiedMillis() > 0 && known.modifiedMillis() / 1000 > have.modifiedMillis() / 1000
                && !incomparable.contains(p.mount);
    }

    private Opened filled(URI file, Mounts.Place p, Known known, OriginReader filler) {
        return attempt(file, p, OpenHints.NONE.withFill(new ClientFill(known.kind(), known.version(), known.length(), filler)));
    }

    /** A fault of ours is no reason to fail a query. */
    private Opened attempt(URI file, Mounts.Place p, OpenHints hints) {
        try {
            return bridge.client().open(p.mount, p.path, hints);
        } catch (RuntimeException e) {
            warn("fault", file + " is read by the engine's own file system, since the bridge failed: " + e);
            return null;
        }
    }

    Counters counters() {
        return bridge.counters();
    }

    void warn(String kind, String text) {
        bridge.warnings().warn(kind, text);
    }

    /** Tells the sidecar that a file, or all below a folder, was written or removed; best effort, for a few milliseconds. */
    public void invalidate(URI file, boolean folder) {
        Mounts.Place place = settings.mounts().find(file);
        if (place == null || bridge.client() == null) {
            return;
        }
        try {
            bridge.client().invalidate(place.mount, place.path, false);
            if (folder) {
                bridge.client().invalidate(place.mount, place.path + "/", true);
            }
        } catch (RuntimeException e) {
            warn("fault", "the sidecar was not told that " + file + " was written: " + e);
        }
    }
}
