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
    /** One reader waits for it, once, and no longer than a deadline: whether it is back, readers do not have to find out. */
    @Test
    void readersPayOnce() throws IOException {
        try (ServerSocket hung = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
                AlioClient client = AlioClient.create(AlioOptions.of("127.0.0.1:" + hung.getLocalPort()).token("t").controlMillis(50).backoffMillis(200).warnings(text -> {}))) {
            int opens = 0;
            for (long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(2); System.nanoTime() < end; opens++) {
                assertFalse(client.open("lake", "file", OpenHints.NONE).isAvailable());
                LockSupport.parkNanos(1_000_000);
            }
            AlioMetrics m = client.metrics();
            assertEquals(1, m.getLateCalls() + m.getUnreachedCalls(), "calls that waited");
            assertEquals(1, m.getSuspicions());
            assertTrue(m.getQuestions() > 3, "it was not asked again: " + m.getQuestions());
            assertEquals(1, m.getBreakerOpen());
            assertEquals(opens, m.getBypassedOpens());
        }
    }
}
