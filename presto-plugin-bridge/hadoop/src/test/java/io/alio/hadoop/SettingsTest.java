package io.alio.hadoop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
        String fault = Settings.of(m::get).fault();
        for (String part : new String[] {"alio.fill is \"both\", none of [auto, sidecar, client]", "alio.mapping is \"yes\"", "alio.control.ms is \"soon\"", "alio.mounts: \"x\"",
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
}
