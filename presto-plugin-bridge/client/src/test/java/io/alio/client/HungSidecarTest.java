package io.alio.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

/** A sidecar whose socket takes connections, and which says nothing, as one that is stopped. */
class HungSidecarTest {
    /** Readers wait for it until the breaker opens, and never again: whether it is back, they do not have to find out. */
    @Test
    void readersPayOnce() throws IOException {
        try (ServerSocket hung = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
                AlioClient client = AlioClient.create(AlioOptions.of("127.0.0.1:" + hung.getLocalPort()).token("t").controlMillis(50).warnings(text -> {}))) {
            int slow = 0;
            int opens = 0;
            for (long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(3); System.nanoTime() < end; opens++) {
                long begun = System.nanoTime();
                assertFalse(client.open("lake", "file", OpenHints.NONE).isAvailable());
                if (System.nanoTime() - begun > TimeUnit.MILLISECONDS.toNanos(45)) {
                    slow++;
                }
                LockSupport.parkNanos(1_000_000);
            }
            AlioMetrics m = client.metrics();
            long tried = m.getLateCalls() + m.getUnreachedCalls();
            assertTrue(slow <= 3, slow + " of " + opens + " opens waited; " + tried + " calls were tried");
            assertTrue(tried > 3, "nothing was tried again: " + tried);
            assertEquals(1, m.getBreakerOpen());
            assertEquals(opens, m.getBypassedOpens());
        }
    }
}
