package io.alio.trino;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.airlift.configuration.ConfigurationFactory;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class AlioConfigTest {
    private static final Map<String, String> ALL = Map.ofEntries(
            Map.entry("alio.enabled", "true"),
            Map.entry("alio.affinity", "true"),
            Map.entry("alio.sidecar", "/run/alio/alio.sock"),
            Map.entry("alio.directories", "/var/cache/alio, /ssd2/alio"),
            Map.entry("alio.token", "secret"),
            Map.entry("alio.deadline", "5ms"),
            Map.entry("alio.mounts", "hdfs://ns=lake,s3://b/t=other"),
            Map.entry("alio.fill", "CLIENT"),
            Map.entry("alio.open-segments", "17"),
            Map.entry("alio.mapping", "true"),
            Map.entry("alio.believe-not-found", "false"));

    private static AlioConfig build(Map<String, String> properties) {
        return new ConfigurationFactory(properties).build(AlioConfig.class);
    }

    @Test
    void everyKeyIsUsedAndNoOther() {
        ConfigurationFactory factory = new ConfigurationFactory(ALL);
        AlioConfig c = factory.build(AlioConfig.class);
        Set<String> used = new TreeSet<>();
        factory.getUsedProperties().forEach(p -> used.add(p.name()));
        assertEquals(new TreeSet<>(ALL.keySet()), used);
        assertEquals("/run/alio/alio.sock", c.getSidecar());
        assertEquals(List.of("/var/cache/alio", "/ssd2/alio"), c.getDirectories());
        assertEquals("secret", c.getToken());
        assertEquals(5, c.getDeadline().toMillis());
        assertEquals(List.of("hdfs://ns=lake", "s3://b/t=other"), c.getMounts());
        assertEquals(AlioConfig.Fill.CLIENT, c.getFill());
        assertEquals(17, c.getOpenSegments());
        assertTrue(c.isMapping());
        assertTrue(c.isAffinity());
        assertFalse(c.isBelieveNotFound());
    }

    @Test
    void defaults() {
        AlioConfig c = build(Map.of("alio.sidecar", "127.0.0.1:9481"));
        assertTrue(c.isEnabled());
        assertEquals(List.of(), c.getDirectories());
        assertEquals("", c.getToken());
        assertEquals(20, c.getDeadline().toMillis());
        assertEquals(List.of(), c.getMounts());
        assertEquals(AlioConfig.Fill.READ_THROUGH, c.getFill());
        assertEquals(256, c.getOpenSegments());
        assertFalse(c.isMapping());
        assertFalse(c.isAffinity());
        assertTrue(c.isBelieveNotFound());
    }

    @Test
    void faultsAreNamed() {
        for (Map<String, String> bad : List.of(Map.<String, String>of(), Map.of("alio.sidecar", "/s", "alio.mounts", "s3://x"), Map.of("alio.sidecar", "/s", "alio.open-segments", "0"),
                Map.of("alio.sidecar", "/s", "alio.fill", "sometimes"), Map.of("alio.sidecar", "/s", "alio.deadline", "soon"))) {
            Exception e = assertThrows(Exception.class, () -> build(bad));
            Map<String, String> keys = new HashMap<>(bad);
            keys.remove("alio.sidecar");
            String key = keys.isEmpty() ? "alio.sidecar" : keys.keySet().iterator().next();
            assertTrue(e.getMessage().contains(key) || e.getMessage().contains("openSegments"), key + ": " + e.getMessage());
        }
        build(Map.of("alio.enabled", "false")); // needs no sidecar
    }
}
