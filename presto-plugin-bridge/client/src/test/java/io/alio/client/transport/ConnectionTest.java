package io.alio.client.transport;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a peer may do, good and bad, byte by byte: the real sidecar is in itest. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ConnectionTest {
    private static final long LONG = 20_000_000_000L;

    /** The other side of a connection. */
    private interface Script {
        void play(Peer p) throws IOException;
    }

    private ServerSocket server;
    private Channel channel;

    @BeforeEach
    void listen() throws IOException {
        server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        channel = new Channel(Endpoint.tcp("127.0.0.1:" + server.getLocalPort(), null), "a.B", "");
    }

    @AfterEach
    void close() throws IOException {
        channel.close();
        server.close();
    }

    private CompletableFuture<Void> play(Script... scripts) {
        return CompletableFuture.runAsync(() -> {
            for (Script s : scripts) {
                try {
                    Socket socket = server.accept();
                    Peer peer = new Peer(socket);
                    s.play(peer);
                    drain(socket, peer);
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            }
        });
    }

    /** Closes the connection once the client has: what is closed with bytes unread takes back what was sent. */
    private static void drain(Socket socket, Peer peer) {
        Thread t = new Thread(() -> {
            try {
                while (peer.in.read() >= 0) {
                    // on
                }
                socket.close();
            } catch (IOException e) {
                // it is closed
            }
        });
        t.setDaemon(true);
        t.start();
    }

    private Call call(byte[] request, Sink sink) {
        Call c = channel.call("M", request, sink, System.nanoTime() + LONG);
        assertTrue(c.await(System.nanoTime() + LONG), "it has an end");
        return c;
    }

    private static byte[] random(int n) {
        byte[] b = new byte[n];
        new Random(n).nextBytes(b);
        return b;
    }

    @Test
    void windowsOpenByAFewBytes() throws Exception {
        byte[] request = random(200_000);
        byte[] reply = random(300_000);
        CompletableFuture<Void> peer = play(p -> {
            p.hello(4, 3); // a window of three bytes: the prefix of the message does not fit
            p.next(Connection.HEADERS);
            p.next(Connection.DATA);
            p.answer(p.id, new byte[] {1});
            p.next(Connection.HEADERS);
            int id = p.id;
            ByteArrayOutputStream got = new ByteArrayOutputStream();
            for (int by = 1; got.size() < request.length + 5; by = Math.min(2 * by, 30_000)) {
                p.next(Connection.DATA);
                got.write(p.payload);
                p.number(Connection.WINDOW_UPDATE, id, by);
                p.number(Connection.WINDOW_UPDATE, 0, p.payload.length);
            }
            byte[] all = got.toByteArray();
            assertEquals(request.length, ByteBuffer.wrap(all).getInt(1));
            assertArrayEquals(request, java.util.Arrays.copyOfRange(all, 5, all.length));
            p.answer(id, reply);
        });
        assertEquals(Call.State.ANSWERED, call(new byte[0], new MessageSink(100)).state()); // from now on the settings are known
        MessageSink sink = new MessageSink(1 << 20);
        Call c = call(request, sink);
        assertEquals(Call.State.ANSWERED, c.state(), c.message());
        assertArrayEquals(reply, sink.message());
        peer.get(20, TimeUnit.SECONDS);
    }

    @Test
    void aPeerThatReadsButSaysNothingIsAskedWhetherItReads() throws Exception {
        byte[] request = random(3_000_000);
        play(p -> {
            p.hello(4, 1 << 24);
            p.number(Connection.WINDOW_UPDATE, 0, 1 << 24);
            int got = 0;
            int id = 0;
            while (got < request.length + 5) {
                int head = p.in.readInt();
                byte[] payload = new byte[head >>> 8];
                int flags = p.in.read();
                int of = p.in.readInt();
                p.in.readFully(payload);
                if ((head & 255) == Connection.DATA) {
                    got += payload.length;
                    id = of;
                } else if ((head & 255) == Connection.PING && flags == 0) {
                    p.send(Connection.PING, Connection.ACK, 0, payload);
                }
            }
            p.answer(id, new byte[] {1});
        });
        assertEquals(Call.State.ANSWERED, call(request, new MessageSink(100)).state());
    }

    @Test
    void aPeerThatIsStoppedHoldsNobody() throws Exception {
        CompletableFuture<Void> stopped = new CompletableFuture<>();
        play(p -> {
            p.hello(4, 1 << 24);
            p.number(Connection.WINDOW_UPDATE, 0, 1 << 24);
            stopped.join(); // and reads nothing
        });
        for (int i = 0; i < 30; i++) {
            long begun = System.nanoTime();
            Call c = channel.call("M", random(100_000), new MessageSink(100), begun + 50_000_000);
            assertFalse(c.state() == Call.State.ANSWERED);
            c.giveUp();
            assertTrue(System.nanoTime() - begun < 5_000_000_000L, "call " + i + " took long");
        }
        stopped.complete(null);
    }

    /** Once a call is given up, what still comes of its answer is not written into what was the caller's all along. */
    @Test
    void whatWasGivenUpIsTheCallersAgain() throws Exception {
        CompletableFuture<Void> over = new CompletableFuture<>();
        CompletableFuture<Void> peer = play(p -> {
            p.hello();
            p.next(Connection.HEADERS);
            int id = p.id;
            p.headers(id, false, ":status", "200");
            p.send(Connection.DATA, 0, id, new byte[] {0, 0, 0, 0, 100, 1});
            over.join();
            p.send(Connection.DATA, 0, id, new byte[50]);
            p.next(Connection.RESET);
            p.next(Connection.HEADERS);
            p.answer(p.id, new byte[] {1});
        });
        int[] after = {0};
        java.util.concurrent.atomic.AtomicBoolean givenUp = new java.util.concurrent.atomic.AtomicBoolean();
        java.util.concurrent.CountDownLatch begun = new java.util.concurrent.CountDownLatch(1);
        Call c = channel.call("M", new byte[0], new Sink() {
            @Override
            protected void begin(long length) {
                begun.countDown();
            }

            @Override
            protected void piece(ByteBuffer piece) {
                after[0] += givenUp.get() ? 1 : 0;
                piece.position(piece.limit());
            }

            @Override
            protected void end() {}

            @Override
            protected void complete() {}
        }, System.nanoTime() + LONG);
        assertTrue(begun.await(20, TimeUnit.SECONDS));
        c.giveUp();
        givenUp.set(true);
        over.complete(null);
        assertEquals(Call.State.ANSWERED, call(new byte[0], new MessageSink(100)).state()); // all before it was read
        assertEquals(0, after[0]);
        assertEquals(Call.State.GIVEN_UP, c.state());
        peer.get(20, TimeUnit.SECONDS);
    }

    @Test
    void statuses() throws Exception {
        play(p -> {
            p.hello();
            p.next(Connection.HEADERS);
            p.headers(p.id, true, ":status", "200", "grpc-status", "5", "grpc-message", "no f%C3%BCr%zz");
            p.next(Connection.HEADERS);
            p.headers(p.id, true, ":status", "404");
            p.next(Connection.HEADERS);
            p.number(Connection.RESET, p.id, 7);
            p.next(Connection.HEADERS);
            p.headers(p.id, false, ":status", "200");
            p.send(Connection.DATA, 0, p.id, new byte[] {1, 0, 0, 0, 0}); // compressed
            p.next(Connection.HEADERS);
            p.headers(p.id, false, ":status", "200");
            p.send(Connection.DATA, 0, p.id, new byte[] {0, 0x7f, 0, 0, 0}); // too large
            p.next(Connection.HEADERS);
            p.headers(p.id, false, ":status", "200");
            p.send(Connection.DATA, 0, p.id, new byte[] {0, 0, 0, 0, 9, 1});
            p.headers(p.id, true, "grpc-status", "0"); // cut off
        });
        Call c = call(new byte[0], new MessageSink(100));
        assertEquals(Call.State.REFUSED, c.state());
        assertEquals(5, c.status());
        assertEquals("no für%zz", c.message());
        assertTrue(call(new byte[0], new MessageSink(100)).message().contains("is this the address of the gRPC door?"));
        c = call(new byte[0], new MessageSink(100));
        assertEquals(Call.State.UNREACHED, c.state());
        assertFalse(c.heard());
        for (int i = 0; i < 3; i++) {
            assertEquals(Call.State.SENSELESS, call(new byte[0], new MessageSink(100)).state());
        }
    }

    @Test
    void whoSpeaksSomethingElseIsToldApart() throws Exception {
        play(p -> p.out.write("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes()), p -> p.out.write(random(1000)));
        assertTrue(call(new byte[0], new MessageSink(100)).message().contains("not the gRPC door"));
        assertEquals(Call.State.UNREACHED, call(new byte[0], new MessageSink(100)).state());
    }

    @Test
    void whoLeavesIsLeft() throws Exception {
        play(p -> {
            p.hello();
            p.next(Connection.HEADERS);
            p.send(Connection.GOAWAY, 0, 0, ByteBuffer.allocate(8).putInt(p.id).array());
            p.answer(p.id, new byte[] {1});
        }, p -> {
            p.hello();
            p.next(Connection.HEADERS);
            p.answer(p.id, new byte[] {2});
        });
        MessageSink sink = new MessageSink(100);
        assertEquals(Call.State.ANSWERED, call(new byte[0], sink).state());
        assertEquals(1, sink.message()[0]);
        sink = new MessageSink(100);
        assertEquals(Call.State.ANSWERED, call(new byte[0], sink).state());
        assertEquals(2, sink.message()[0]);
    }
}
