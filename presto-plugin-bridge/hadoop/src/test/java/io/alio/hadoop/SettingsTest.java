package io.alio.hadoop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.alio.client.FileSplit;
import java.net.URI;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SettingsTest {
    @Test
    void everyFaultIsTold() {
        Map<String, String> m = new HashMap<>();
        m.put("alio.fill", "both");
        m.put("alio.mapping", "yes");
        m.put("alio.control.ms", "soon");
        m.put("alio.mounts", "x");
        m.put("alio.affinity", "on");
        String fault = Settings.of(m::get).fault();
        for (String part : new String[] {"alio.fill is \"both\", none of [auto, sidecar, client]", "alio.mapping is \"yes\"", "alio.control.ms is \"soon\"", "alio.mounts: \"x\"", "alio.affinity is \"on\"",
            "alio.address is not set"}) {
            assertTrue(fault.contains(part), fault);
        }
    }

    @Test
    void offNeedsNothing() {
        Map<String, String> m = new HashMap<>();
        m.put("alio.enabled", "false");
        assertEquals("", Settings.of(m::get).fault());
        assertNull(Bridge.of(m::get).client());
    }

    @Test
    void wrongSettingsReadPastTheSidecar() {
        Map<String, String> m = new HashMap<>();
        m.put("alio.address", "nowhere");
        assertNull(Bridge.of(m::get).client(), "an address that is none");
        m.put("alio.address", "/run/alio.sock");
        m.put("alio.token.file", "/no/such/file");
        assertNull(Bridge.of(m::get).client(), "a token that cannot be read");
    }

    @Test
    void placingSplitsIsOffUntilAskedFor() {
        Map<String, String> m = new HashMap<>();
        m.put("alio.address", "/run/alio.sock");
        assertFalse(Affinity.of(m::get).isPresent(), "by default");
        m.put("alio.affinity", "true");
        Affinity a = Affinity.of(m::get).get();
        assertSame(a.client(), Affinity.of(m::get).get().client(), "one client for one service");
        FileSplit s = a.split(URI.create("s3a://lake/a/b%20c.parquet"), 5, 7);
        assertEquals("lake:a/b c.parquet@5", s.toString());
        assertEquals("hdfs-ns-8020:a/b@0", a.split(URI.create("hdfs://ns:8020/a/b"), 0, 1).toString(), "what is filled by the engine has a name, too");
        assertNull(a.split(URI.create("s3://lake/folder/"), 0, 1));
        m.put("alio.enabled", "false");
        assertFalse(Affinity.of(m::get).isPresent(), "the off switch");
        m.put("alio.enabled", "true");
        m.put("alio.address", "nowhere");
        assertFalse(Affinity.of(m::get).isPresent(), "settings that are wrong");
        a.client().close();
    }
}
