package io.alio.client;

import static io.alio.client.AffinityAnswersTest.field;
import static io.alio.client.AffinityAnswersTest.joined;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.alio.client.transport.Peer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What of a sidecar's answers may be taken for the origin's own "there is no such file": byte by byte. The sidecar's side of it is tested in Go, and both in a real Trino. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class AbsentTest {
    private static final int HEADERS = 1;
    private static final int NOT_FOUND = 5;
    private static final int DENIED = 7;
    private static final int UNAVAILABLE = 14;

    private volatile byte[] answer; // to Open; null: the whole call is NOT_FOUND

    private void serve(ServerSocket server) {
        while (!server.isClosed()) {
            try (Socket s = server.accept()) {
                Peer p = new Peer(s);
                p.hello();
                while (true) {
                    p.next(HEADERS);
                    boolean open = new String(p.payload, StandardCharsets.ISO_8859_1).contains("/alio.v1.Sidecar/Open");
                    if (!open) {
                        p.answer(p.id, field(6, 100, null)); // StatusReply.max_files
                    } else if (answer != null) {
                        p.answer(p.id, answer);
                    } else {
                        p.headers(p.id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "5", "grpc-message", "none");
                    }
                }
            } catch (IOException e) {
                continue; // the client has dropped it, or the test is over
            }
        }
    }

    /** An OpenReply of one file that was not opened. */
    private static byte[] failed(int code, boolean asked) {
        byte[] error = joined(field(1, code, null), field(2, 0, "why".getBytes(StandardCharsets.UTF_8)), asked ? field(3, 1, null) : new byte[0]);
        return field(1, 0, field(1, 0, error));
    }

    @Test
    void onlyTheOriginsOwnWord() throws Exception {
        try (ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            Thread serving = new Thread(() -> serve(server));
            serving.setDaemon(true);
            serving.start();
            AlioOptions o = AlioOptions.of("127.0.0.1:" + server.getLocalPort()).token("t").controlMillis(5000).warnings(text -> {});
            try (AlioClient client = AlioClient.create(o)) {
                answer = failed(NOT_FOUND, true);
                Opened opened = client.open("lake", "t/1.json", OpenHints.NONE);
                assertEquals(Unavailable.NOT_FOUND, opened.reason(), opened.message());
                assertTrue(opened.isAbsent(), "asked for within this call");
                byte[][] others = {failed(NOT_FOUND, false), failed(DENIED, true), failed(UNAVAILABLE, true), null};
                for (byte[] other : others) {
                    answer = other;
                    opened = client.open("lake", "t/1.json", OpenHints.NONE);
                    assertFalse(opened.isAvailable());
                    assertFalse(opened.isAbsent(), opened.message());
                }
                assertEquals(Unavailable.NOT_FOUND, opened.reason(), opened.message());
            }
        }
    }
}
