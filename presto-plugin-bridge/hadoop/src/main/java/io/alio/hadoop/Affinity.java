package io.alio.hadoop;

import io.alio.client.AffinityClient;
import io.alio.client.AffinityOptions;
import io.alio.client.FileSplit;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * The affinity service that a configuration names (alio.affinity), and what it calls the files that an engine places. For a coordinator. As a {@link Bridge}, the client is shared by
 * all configurations of one service, and stays.
 */
public final class Affinity {
    private static final Map<String, AffinityClient> SHARED = new HashMap<>();
    private static final Warnings WARNINGS = new Warnings();

    private final AffinityClient client;
    private final Mounts mounts;

    private Affinity(AffinityClient client, Mounts mounts) {
        this.client = client;
        this.mounts = mounts;
    }

    /** Empty: alio.affinity is not true, or the settings are wrong, of which a warning tells. {@code get} looks a property up; null: not set. */
    public static Optional<Affinity> of(UnaryOperator<String> get) {
        Settings s = Settings.of(get);
        if (!s.affinity()) {
            return Optional.empty();
        }
        String fault = s.fault();
        try {
            if (fault.isEmpty()) {
                return Optional.of(new Affinity(client(s), s.mounts()));
            }
        } catch (IOException e) {
            fault = "alio.token.file cannot be read: " + e;
        } catch (RuntimeException e) {
            fault = e.getMessage();
        }
        WARNINGS.warn("affinity", "splits are placed by the engine, since the bridge's settings are wrong: " + fault);
        return Optional.empty();
    }

    private static AffinityClient client(Settings s) throws IOException {
        AffinityOptions o = AffinityOptions.of(s.address()).jmxName(s.jmxName());
        if (!s.tokenFile().isEmpty()) {
            o.token(new String(Files.readAllBytes(Paths.get(s.tokenFile())), StandardCharsets.UTF_8).trim());
        }
        synchronized (SHARED) {
            return SHARED.computeIfAbsent(s.address() + "\n" + s.tokenFile(), k -> AffinityClient.create(o));
        }
    }

    /** A piece of a file as the service knows it; null: the name is no file's. */
    public FileSplit split(URI file, long offset, long length) {
        String path = file.getPath();
        if (file.getScheme() == null || path == null || path.isEmpty() || path.endsWith("/")) {
            return null;
        }
        Mounts.Place place = mounts.find(file);
        if (place == null) {
            place = Mounts.unmounted(file);
        }
        return new FileSplit(place.mount, place.path, offset, length);
    }

    /** Says a sentence in the log, at most once a minute. */
    public void warn(String text) {
        WARNINGS.warn("fault", text);
    }

    public AffinityClient client() {
        return client;
    }
}
