package io.alio.trino;

import io.airlift.log.Logger;
import io.alio.client.AlioClient;
import io.alio.client.AlioFile;
import io.alio.client.AlioOptions;
import io.alio.client.ClientFill;
import io.alio.client.OpenHints;
import io.alio.client.Opened;
import io.alio.client.Unavailable;
import io.trino.filesystem.Location;
import io.trino.filesystem.TrinoInput;
import io.trino.filesystem.TrinoInputFile;
import io.trino.filesystem.TrinoInputStream;
import io.trino.filesystem.cache.TrinoFileSystemCache;
import jakarta.annotation.PreDestroy;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.time.Instant;
import java.util.Collection;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Trino's hook for a cache of reads, answered by the sidecar. What it cannot open is opened by Trino's own file system, whose word is the last on who may read it, and on what
 * exists too, but where the sidecar's origin has just been asked and nothing is expected to be there ({@link TableFormat#mayBeAbsent}). Trino's cache keys are not used: what is read is named by mount, path and, beyond what the sidecar knows, the length and time that Trino holds.
 */
public final class AlioFileSystemCache implements TrinoFileSystemCache, AutoCloseable {
    private static final Logger LOG = Logger.get(AlioFileSystemCache.class);
    /** What an operator has to put right; that the sidecar is not there, the client says by itself. */
    private static final Set<Unavailable> WARNS = Set.of(Unavailable.INVALID, Unavailable.DENIED, Unavailable.UNSUPPORTED);
    private static final long MOUNT_UNKNOWN_NANOS = 10_000_000_000L;

    private final AlioClient client;
    private final Mounts mounts;
    private final TableFormat format;
    private final boolean fills;
    private final boolean believesNotFound;
    private final Counters counters;
    private final Folders folders = new Folders();
    private final Map<String, Long> unknownMounts = new ConcurrentHashMap<>(); // and when the sidecar said so, by the monotonic clock
    private final Set<String> otherClocks = ConcurrentHashMap.newKeySet();     // mounts whose times say nothing about Trino's
    private final Map<Unavailable, Rarely> warned = new EnumMap<>(Unavailable.class);

    AlioFileSystemCache(AlioClient client, Mounts mounts, TableFormat format, boolean fills, boolean believesNotFound, Counters counters) {
        this.client = client;
        this.mounts = mounts;
        this.format = format;
        this.fills = fills;
        this.believesNotFound = believesNotFound;
        this.counters = counters;
        for (Unavailable u : Unavailable.values()) {
            warned.put(u, new Rarely());
        }
    }

    /** The cache of a catalog, with a client of its own, so that each catalog has its own counters. It connects at the first file. */
    static AlioFileSystemCache create(String catalog, TableFormat format, AlioConfig config) {
        AlioOptions options = AlioOptions.of(config.getSidecar())
                .token(config.getToken())
                .directories(config.getDirectories().toArray(String[]::new))
                .controlMillis(config.getDeadline().toMillis())
                .openSegments(config.getOpenSegments())
                .mapping(config.isMapping())
                .tag("trino/" + catalog)
                .jmxName(catalog)
                .warnings(text -> LOG.warn("catalog %s: %s", catalog, text));
        Counters counters = new Counters(catalog);
        counters.register();
        return new AlioFileSystemCache(AlioClient.create(options), Mounts.parse(config.getMounts()), format,
                config.getFill() == AlioConfig.Fill.CLIENT, config.isBelieveNotFound(), counters);
    }

    @Override
    public TrinoInput cacheInput(TrinoInputFile file, String key) throws IOException {
        Optional<Reading> reading = reading(file, false);
        return reading.isPresent() ? new AlioInput(reading.get()) : file.newInput();
    }

    @Override
    public TrinoInputStream cacheStream(TrinoInputFile file, String key) throws IOException {
        Optional<Reading> reading = reading(file, true);
        return reading.isPresent() ? new AlioInputStream(reading.get()) : file.newStream();
    }

    /** The length of a file that Trino opens without knowing it: the sidecar's answer spares the HEAD, and the file is opened next, which asks nobody again. */
    @Override
    public long cacheLength(TrinoInputFile file, String key) throws IOException {
        Optional<Mounts.Place> place = fills ? Optional.empty() : place(file.location());
        if (place.isPresent()) {
            Optional<AlioFile> opened = openThrough(file.location(), place.get(), TableFormat.Known.NOTHING, false, true);
            if (opened.isPresent()) {
                try (AlioFile f = opened.get()) {
                    return f.size();
                }
            }
        }
        return file.length();
    }

    private Optional<Reading> reading(TrinoInputFile file, boolean stream) throws IOException {
        Optional<Mounts.Place> place = place(file.location());
        if (place.isEmpty()) {
            return Optional.empty();
        }
        TableFormat.Known known = format.known(file, stream);
        EngineReader engine = new EngineReader(file);
        Reading.Opener open = fills ? whole -> counted(openToFill(place.get(), known, engine)) : whole -> counted(openThrough(file.location(), place.get(), known, whole, false));
        if (!fills && known.length().isPresent()) {
            return Optional.of(new Reading(engine, open, known.length().getAsLong()));
        }
        Optional<AlioFile> first = fills ? open.open(false) : counted(openThrough(file.location(), place.get(), known, false, true));
        return first.map(opened -> new Reading(engine, open, opened));
    }

    private Optional<AlioFile> counted(Optional<AlioFile> opened) {
        opened.ifPresent(f -> counters.opened.increment());
        return opened;
    }

    private Optional<Mounts.Place> place(Location location) {
        if (LocationKeyProvider.isHidden(location)) {
            return Optional.empty();
        }
        Optional<Mounts.Place> place = mounts.place(location);
        if (place.isEmpty()) {
            counters.unmapped.increment();
        }
        return place;
    }

    /**
     * Opens a file that the sidecar reads; empty, and counted, if it cannot.
     *
     * @param whole whether all of it is about to be read; its length is known then
     * @param first whether Trino has nothing of the file yet, and is not told of it by anything
     * @throws FileNotFoundException as Trino's own file systems do: it is not there, and Trino need not ask again
     */
    private Optional<AlioFile> openThrough(Location location, Mounts.Place place, TableFormat.Known known, boolean whole, boolean first) throws FileNotFoundException {
        Long unknown = unknownMounts.get(place.mount());
        if (unknown != null && System.nanoTime() - unknown < MOUNT_UNKNOWN_NANOS) {
            counters.bypassed.increment();
            return Optional.empty();
        }
        OpenHints hints = hints(known, whole);
        Opened opened = client.open(place.mount(), place.path(), hints);
        if (isBehind(opened, place, known)) {
            opened = askAgain(opened, place, known, hints);
        }
        boolean mayBeAbsent = believesNotFound && first && known.equals(TableFormat.Known.NOTHING) && format.mayBeAbsent(location);
        if (!opened.isAvailable()) {
            if (mayBeAbsent && opened.isAbsent() && folders.have(place)) {
                counters.absent.increment();
                throw new FileNotFoundException(location.toString());
            }
            bypass(location, place, opened);
            return Optional.empty();
        }
        if (mayBeAbsent) {
            folders.found(place);
        }
        return Optional.of(opened.file());
    }

    private static OpenHints hints(TableFormat.Known known, boolean whole) {
        return known.length().isEmpty() ? OpenHints.NONE : OpenHints.NONE.withLength(known.length().getAsLong()).withWhole(whole);
    }

    /** Whether the sidecar believes a version that is older than the one that Trino has listed: within max_age it may. */
    private boolean isBehind(Opened opened, Mounts.Place place, TableFormat.Known known) {
        if (!opened.isAvailable()) {
            return opened.reason() == Unavailable.CHANGED && known.length().isPresent();
        }
        return known.modified().isPresent() && isOlder(opened.file(), known.modified().get()) && !otherClocks.contains(place.mount());
    }

    /** Compares whole seconds: an object's own answer tells no more on S3, where its listing tells milliseconds. */
    private static boolean isOlder(AlioFile file, Instant listed) {
        long told = file.object().modifiedMillis();
        return told > 0 && Math.floorDiv(told, 1000L) < listed.getEpochSecond();
    }

    /** Has the sidecar ask its origin. What it says then is true, even where the two clocks do not agree. */
    private Opened askAgain(Opened first, Mounts.Place place, TableFormat.Known known, OpenHints hints) {
        counters.stale.increment();
        client.invalidate(place.mount(), place.path(), false);
        Opened second = client.open(place.mount(), place.path(), hints);
        if (first.isAvailable()) {
            boolean same = second.isAvailable() && second.file().object().version().equals(first.file().object().version());
            if (same && isOlder(second.file(), known.modified().get()) && otherClocks.add(place.mount())) {
                LOG.warn("files of the mount %s have older times at the sidecar than in Trino's listings: changes are seen after max_age, not at once", place.mount());
            }
            first.file().close();
        }
        return second;
    }

    private void bypass(Location location, Mounts.Place place, Opened opened) {
        counters.bypassed.increment();
        Unavailable reason = opened.reason();
        if (reason == Unavailable.INVALID) {
            unknownMounts.put(place.mount(), System.nanoTime());
        }
        if (WARNS.contains(reason)) {
            warned.get(reason).run(() -> LOG.warn("Trino reads %s by itself, since the sidecar cannot open it as %s of the mount %s: %s", location,
                    place.path(), place.mount(), opened.message()));
        }
    }

    /**
     * Opens a file that Trino fills. Its version must say when its bytes have changed: the name does where the format never uses one again, else length
     * and time together, which cost a HEAD where the connector does not have them.
     */
    private Optional<AlioFile> openToFill(Mounts.Place place, TableFormat.Known known, EngineReader engine) throws IOException {
        TrinoInputFile file = engine.file();
        long size = known.length().isPresent() ? known.length().getAsLong() : file.length();
        String scheme = Mounts.scheme(file.location());
        ClientFill fill;
        if (known.writtenOnce()) {
            fill = new ClientFill(scheme + "-name+length", Long.toString(size), size, engine);
        } else {
            Instant modified = known.modified().isPresent() ? known.modified().get() : file.lastModified();
            fill = new ClientFill(scheme + "-length+mtime", size + "@" + modified.toEpochMilli(), size, engine);
        }
        Opened opened = client.open(place.mount(), place.path(), OpenHints.NONE.withFill(fill));
        if (!opened.isAvailable()) {
            bypass(file.location(), place, opened);
            return Optional.empty();
        }
        return Optional.of(opened.file());
    }

    /** Trino writes, removes or renames: the sidecar forgets what it believes of it, as soon as it can be told. */
    @Override
    public void expire(Location location) {
        if (fills) {
            return; // a version of its own names what was written
        }
        mounts.place(location).ifPresent(place -> {
            client.invalidate(place.mount(), place.path(), false);
            client.invalidate(place.mount(), place.path() + "/", true); // if it was a folder, which Trino does not tell
        });
    }

    @Override
    public void expire(Collection<Location> locations) {
        List.copyOf(locations).forEach(this::expire);
    }

    @PreDestroy
    @Override
    public void close() {
        client.close();
        counters.close();
    }
}
