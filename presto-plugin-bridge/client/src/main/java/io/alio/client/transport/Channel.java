package io.alio.client.transport;

import java.io.ByteArrayOutputStream;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** A connection that is made at the first call, and again at the next one after it was lost. */
public final class Channel {
    private final Endpoint endpoint;
    private final String service;
    private final String token;
    private final Map<String, byte[]> headers = new ConcurrentHashMap<>(); // by method

    private Connection connection; // under this
    private boolean closed;
    private volatile boolean connected; // ever

    /**
     * @param service its full name
     * @param token sent with every call; "": none
     */
    public Channel(Endpoint endpoint, String service, String token) {
        this.endpoint = endpoint;
        this.service = service;
        this.token = token;
    }

    /** Begins a call; see {@link Call}. It waits at most until deadline, as System.nanoTime() has it, for the connection and for room to send. */
    public Call call(String method, byte[] request, Sink sink, long deadline) {
        Connection c = current();
        if (c == null) {
            return Call.failed("the client is closed", false);
        }
        Call call = c.call(headers.computeIfAbsent(method, this::headersOf), request, sink, deadline);
        if (!connected && c.wasReady()) {
            connected = true;
        }
        return call;
    }

    /** Whether it was connected ever. */
    public boolean wasConnected() {
        return connected;
    }

    /** Gives the present connection up, with all its calls; the next call makes another. */
    public void drop(String why) {
        Connection c;
        synchronized (this) {
            c = connection;
            connection = null;
        }
        if (c != null) {
            c.close(why);
        }
    }

    public void close() {
        Connection c;
        synchronized (this) {
            closed = true;
            c = connection;
            connection = null;
        }
        if (c != null) {
            c.close("the client is closed");
        }
    }

    private synchronized Connection current() {
        if (!closed && (connection == null || !connection.usable())) { // one that is leaving ends by itself, with its last call
            connection = new Connection(endpoint);
            connection.start();
        }
        return connection;
    }

    private byte[] headersOf(String method) {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        Hpack.literal(b, ":method", "POST");
        Hpack.literal(b, ":scheme", endpoint.scheme());
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
