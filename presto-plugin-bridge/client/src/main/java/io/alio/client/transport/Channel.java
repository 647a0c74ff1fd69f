package io.alio.client.transport;

import java.io.ByteArrayOutputStream;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A connection that is made at the first call, and again after it was lost: at once the first time, then after a pause that grows from 50 ms while
 * attempts fail.
 */
public final class Channel {
    private static final long FIRST_PAUSE = 50_000_000;

    private final Endpoint endpoint;
    private final String service;
    private final String token;
    private final long longestPause;
    private final Map<String, byte[]> headers = new ConcurrentHashMap<>(); // by method

    private Connection connection; // under this
    private long pause;
    private long notBefore;
    private String last = ""; // why the last attempt failed
    private boolean closed;

    /**
     * @param service its full name
     * @param token sent with every call; "": none
     * @param longestPause between two attempts to connect, in nanoseconds
     */
    public Channel(Endpoint endpoint, String service, String token, long longestPause) {
        this.endpoint = endpoint;
        this.service = service;
        this.token = token;
        this.longestPause = longestPause;
    }

    /** Begins a call; see {@link Call}. It waits at most until deadline, as System.nanoTime() has it, for the connection and for room to send. */
    public Call call(String method, byte[] request, Sink sink, long deadline) {
        Connection c = current();
        if (c == null) {
            return Call.failed(lastFailure(), false);
        }
        return c.call(headers.computeIfAbsent(method, this::headersOf), request, sink, deadline);
    }

    public void close() {
        Connection c;
        synchronized (this) {
            closed = true;
            last = "the client is closed";
            c = connection;
            connection = null;
        }
        if (c != null) {
            c.close("the client is closed");
        }
    }

    private synchronized String lastFailure() {
        return last;
    }

    private synchronized Connection current() {
        if (closed) {
            return null;
        }
        if (connection != null && connection.usable()) {
            if (pause != 0 && connection.wasReady()) {
                pause = 0;
            }
            return connection;
        }
        long now = System.nanoTime();
        if (connection != null) {
            String why = connection.broken();
            if (why != null) {
                last = why;
            }
            if (!connection.wasReady()) { // it could not be made
                pause = Math.min(Math.max(2 * pause, FIRST_PAUSE), longestPause);
                notBefore = now + pause;
            } else {
                pause = 0;
                notBefore = now;
            }
            connection = null; // one that is leaving ends by itself, with its last call
        }
        if (pause != 0 && now - notBefore < 0) {
            return null;
        }
        connection = new Connection(endpoint);
        connection.start();
        return connection;
    }

    private byte[] headersOf(String method) {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        Hpack.literal(b, ":method", "POST");
        Hpack.literal(b, ":scheme", "http");
        Hpack.literal(b, ":path", "/" + service + "/" + method);
        Hpack.literal(b, ":authority", "localhost");
        Hpack.literal(b, "content-type", "application/grpc");
        Hpack.literal(b, "te", "trailers");
        Hpack.literal(b, "user-agent", "alio-java");
        if (!token.isEmpty()) {
            Hpack.literal(b, "authorization", "Bearer " + token);
        }
        return b.toByteArray();
    }
}
