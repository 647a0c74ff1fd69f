package io.alio.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

/** An affinity service that is not there, or says nothing: what itest's real ones are not. */
class AffinityClientTest {
    private static final Map<String, String> NODES = Collections.singletonMap("worker:8080", "worker");
    private static final List<FileSplit> SPLITS = Collections.nCopies(3, new FileSplit("lake", "a", 0, 0));

    private final List<String> warned = Collections.synchronizedList(new ArrayList<>());

    private AffinityClient client(String address) {
        return AffinityClient.create(AffinityOptions.of(address).token("t").deadlineMillis(50).backoffMillis(200).warnings(warned::add));
    }

    private static void leaves(AffinityClient client, List<FileSplit> splits) {
        List<List<String>> placed = client.place(splits, 2, NODES);
        assertEquals(Collections.nCopies(splits.size(), Collections.emptyList()), placed);
    }

    @Test
    void nobodyIsThere() {
        AffinityClient client = client("/no/such.sock");
        leaves(client, SPLITS);
        leaves(client, Collections.emptyList());
        leaves(client, Collections.singletonList(null));
        AffinityMetrics m = client.metrics();
        assertEquals(4, m.getLeftSplits());
        assertEquals(0, m.getAskedSplits() + m.getWatchedSplits() + m.getEpoch() + m.getMembers());
        client.close();
        leaves(client, SPLITS);
        client.close();
    }

    /** One batch waits for one that hangs, for its deadline; those after it do not. */
    @Test
    void aHungServiceIsPaidForOnce() throws IOException {
        try (ServerSocket hung = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
                AffinityClient client = client("127.0.0.1:" + hung.getLocalPort())) {
            int batches = 0;
            for (long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(1); System.nanoTime() < end; batches++) {
                leaves(client, SPLITS);
                LockSupport.parkNanos(1_000_000);
            }
            AffinityMetrics m = client.metrics();
            assertEquals(1, m.getLateCalls() + m.getUnreachedCalls(), "calls that waited");
            assertEquals(batches - 1, m.getNotTriedCalls());
            assertEquals(batches, m.getBatches());
            assertEquals(1, m.getBreakerOpen());
            assertTrue(m.getSlowestMicros() >= 40_000 && m.getSlowestMicros() < 1_000_000, m.getSlowestMicros() + " us");
            assertTrue(warned.stream().anyMatch(w -> w.contains("Splits are placed by the last epoch")), warned.toString());
        }
    }

    @Test
    void faultsOfOptionsAreNamed() {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> AffinityClient.create(AffinityOptions.of("").deadlineMillis(0)));
        assertTrue(e.getMessage().contains("no address") && e.getMessage().contains("control milliseconds 0"), e.getMessage());
    }
}
