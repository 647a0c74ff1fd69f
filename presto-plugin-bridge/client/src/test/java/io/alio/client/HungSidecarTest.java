package io.alio.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

/** A sidecar whose socket takes connections, and which says nothing, as one that is stopped. */
class HungSidecarTest {
    private static AlioClient client(ServerSocket hung) {
        return AlioClient.create(AlioOptions.of("127.0.0.1:" + hung.getLocalPort()).token("t").controlMillis(50).backoffMillis(200).warnings(text -> {}));
    }

    /** Opens files for two seconds: one call has waited, no open failed but for the sidecar's not being there, and it was asked again by nobody who waits. */
    private static void open(AlioClient client) {
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

    /** One reader waits for it, once: whether it is back, readers do not have to find out. */
    @Test
    void readersPayOnce() throws IOException {
        try (ServerSocket hung = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
                AlioClient client = client(hung)) {
            open(client);
        }
    }

    /** So it is where not even the connection is made: nobody takes it, and there is no room for it to wait. */
    @Test
    void connectingIsPaidOnce() throws IOException {
        List<Socket> waiting = new ArrayList<>();
        try (ServerSocket full = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                AlioClient client = client(full)) {
            boolean room = true;
            while (room && waiting.size() < 100) {
                Socket s = new Socket();
                waiting.add(s);
                try {
                    s.connect(new InetSocketAddress(full.getInetAddress(), full.getLocalPort()), 300);
                } catch (SocketTimeoutException e) {
                    room = false;
                }
            }
            assertFalse(room, waiting.size() + " connections wait to be taken");
            open(client);
            assertEquals(1, client.metrics().getUnreachedCalls());
        } finally {
            for (Socket s : waiting) {
                s.close();
            }
        }
    }
}
