package io.alio.hadoop;

import io.alio.client.AlioClient;
import io.alio.client.AlioOptions;
import io.alio.client.Beans;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.HashMap;
import java.util.Map;
import java.util.function.UnaryOperator;

/**
 * What all file systems of one process and one sidecar share: the client and the counters. It is made with the first of them and stays, as file systems
 * come and go with users and with idle times.
 */
public final class Bridge {
    private static final Map<String, Bridge> SHARED = new HashMap<>();

    private final AlioClient client; // null: reading through the sidecar is off
    private final Counters counters = new Counters();
    private final Warnings warnings = new Warnings();

    private Bridge(AlioClient client) {
        this.client = client;
    }

    /**
     * The bridge of a configuration, {@code get} being its look-up of a property (null: not set). Settings that are wrong do not stop the engine: they are
     * told in a warning, and every read goes to the file system behind.
     */
    public static Bridge of(UnaryOperator<String> get) {
        Settings s = Settings.of(get);
        synchronized (SHARED) {
            return SHARED.computeIfAbsent(s.identity(), k -> make(s));
        }
    }

    private static Bridge make(Settings s) {
        AlioClient client = null;
        String fault = s.fault();
        if (fault.isEmpty() && s.enabled()) {
            try {
                client = client(s);
            } catch (IOException e) {
                fault = "alio.token.file cannot be read: " + e;
            } catch (RuntimeException e) {
                fault = e.getMessage();
            }
        }
        Bridge b = new Bridge(client);
        Beans.register(b.counters, "FileSystem", s.jmxName(), text -> b.warnings.warn("jmx", text));
        if (!fault.isEmpty()) {
            b.warnings.warn("settings", "files are read without the sidecar, since the bridge's settings are wrong: " + fault);
        }
        return b;
    }

    private static AlioClient client(Settings s) throws IOException {
        AlioOptions o = AlioOptions.of(s.address()).directories(s.directories().toArray(new String[0])).tag(s.tag()).mapping(s.mapping())
                .controlMillis(s.controlMillis()).localMillis(s.localMillis()).guard(s.guard());
        if (!s.tokenFile().isEmpty()) {
            o.token(new String(Files.readAllBytes(Paths.get(s.tokenFile())), StandardCharsets.UTF_8).trim());
        }
        return AlioClient.create(o.jmxName(s.jmxName()));
    }

    /** null: reading through the sidecar is off. */
    public AlioClient client() {
        return client;
    }

    Counters counters() {
        return counters;
    }

    Warnings warnings() {
        return warnings;
    }
}
