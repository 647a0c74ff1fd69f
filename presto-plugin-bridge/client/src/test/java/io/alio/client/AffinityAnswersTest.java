package io.alio.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import io.alio.client.ring.Ring;
import io.alio.client.transport.Peer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A service whose answers make no sense, byte by byte: none is used, and the last epoch that made sense stays in force. Real services are in itest. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class AffinityAnswersTest {
    private static final int HEADERS = 1;

    private final List<String> warned = Collections.synchronizedList(new ArrayList<>());
    private final BlockingQueue<byte[]> epochs = new LinkedBlockingQueue<>(); // messages of Watch, one for each
    private volatile byte[] assigned = {};

    /** Answers each Watch with the next message and ends it, and each Assign with the same. */
    private void serve(ServerSocket server) {
        while (!server.isClosed()) {
            try (Socket s = server.accept()) {
                Peer p = new Peer(s);
                p.hello();
                while (true) {
                    p.next(HEADERS);
                    boolean watch = new String(p.payload, StandardCharsets.ISO_8859_1).contains("/alio.v1.Affinity/Watch");
                    byte[] message = watch ? epochs.poll() : assigned;
                    if (message == null) {
                        p.begin(p.id); // this one goes on without a word
                    } else {
                        p.answer(p.id, message);
                    }
                }
            } catch (IOException e) {
                continue; // the client has dropped it, or the test is over
            }
        }
    }

    /** A field of bytes, or with null a number. */
    static byte[] field(int number, long v, byte[] bytes) {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        b.write(number << 3 | (bytes == null ? 0 : 2));
        for (long n = bytes == null ? v : bytes.length; ; n >>>= 7) {
            b.write((int) (n & 127 | (n > 127 ? 128 : 0)));
            if (n <= 127) {
                break;
            }
        }
        if (bytes != null) {
            b.write(bytes, 0, bytes.length);
        }
        return b.toByteArray();
    }

    static byte[] joined(byte[]... parts) {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        for (byte[] p : parts) {
            b.write(p, 0, p.length);
        }
        return b.toByteArray();
    }

    private static byte[] watched(boolean edits, byte[] data) {
        return joined(field(1, 7, null), field(2, edits ? 1 : 0, null), field(3, 1, null), field(15, 0, data));
    }

    private static byte[] assigned(String worker, int... owners) {
        byte[] assignment = {};
        for (int o : owners) {
            assignment = joined(assignment, field(1, o, null));
        }
        return joined(field(3, 0, field(2, 0, worker.getBytes(StandardCharsets.UTF_8))), field(4, 0, assignment));
    }

    private static byte[] bytes(JsonObject o, String name) {
        return Base64.getDecoder().decode(o.get(name).getAsString());
    }

    /** A file whose first owner is beside a worker. */
    private static String ownedBy(Ring ring, String worker) {
        for (int i = 0; ; i++) {
            int first = ring.owners(ring.key("lake", "file-" + i, 0), 1)[0];
            if (ring.members().get(first).worker().equals(worker)) {
                return "file-" + i;
            }
        }
    }

    private static void until(String what, BooleanSupplier condition) throws InterruptedException {
        for (int i = 0; !condition.getAsBoolean(); i++) {
            assertTrue(i < 3000, "not within 30 s: " + what);
            Thread.sleep(10);
        }
    }

    @Test
    void whatMakesNoSenseIsNotUsed() throws Exception {
        JsonObject vectors = Vectors.json("ring/ring.json");
        JsonObject change = vectors.getAsJsonArray("changes").get(1).getAsJsonObject();
        byte[] from = bytes(vectors.getAsJsonArray("epochs").get(change.get("from").getAsInt()).getAsJsonObject(), "encoding");
        byte[] to = bytes(vectors.getAsJsonArray("epochs").get(change.get("to").getAsInt()).getAsJsonObject(), "encoding");
        byte[] difference = bytes(change, "difference");
        byte[] damaged = difference.clone();
        damaged[damaged.length / 2] ^= 1;
        Ring last = Ring.decode(to);
        Map<String, String> nodes = new TreeMap<>();
        nodes.put("worker-1.example.com:8080", "owner"); // a member of the last epoch
        nodes.put("elsewhere:8080", "elsewhere");
        List<FileSplit> splits = Collections.singletonList(new FileSplit("lake", ownedBy(last, "worker-1.example.com:8080"), 0, 0));
        try (ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            Thread serving = new Thread(() -> serve(server));
            serving.setDaemon(true);
            Collections.addAll(epochs, watched(false, new byte[] {1, 2, 3}), watched(true, difference), watched(false, from), new byte[] {(byte) 0xff}, watched(true, damaged),
                    watched(true, difference), watched(true, difference), watched(false, damaged));
            serving.start();
            AffinityOptions o = AffinityOptions.of("127.0.0.1:" + server.getLocalPort()).token("t").deadlineMillis(2000).backoffMillis(50).warnings(warned::add);
            try (AffinityClient client = AffinityClient.create(o)) {
                AffinityMetrics m = client.metrics();
                until("the last epoch", () -> m.getEpoch() == last.number() && epochs.isEmpty());
                assertEquals(2, m.getEpochs(), "one whole, and one by a difference");
                assigned = assigned("elsewhere:8080", 0);
                until("an answer that makes sense", () -> client.place(splits, 1, nodes).get(0).equals(Collections.singletonList("elsewhere")));
                long senseless = m.getSenselessAnswers();
                byte[][] nonsense = {assigned("elsewhere:8080", 1), assigned("elsewhere:8080", -1 >>> 1), joined(assigned("elsewhere:8080", 0), assigned("elsewhere:8080", 0)), {}, {(byte) 0xff}, {0x22, 0x7f}};
                for (byte[] b : nonsense) {
                    assigned = b;
                    assertEquals(Collections.singletonList("owner"), client.place(splits, 1, nodes).get(0), "by the epoch that is held");
                }
                assertEquals(nonsense.length, m.getSenselessAnswers() - senseless);
                assertTrue(warned.stream().anyMatch(w -> w.contains("the watch of epochs ended")) && warned.stream().anyMatch(w -> w.contains("answer makes no sense")), warned.toString());
            }
        }
    }
}
