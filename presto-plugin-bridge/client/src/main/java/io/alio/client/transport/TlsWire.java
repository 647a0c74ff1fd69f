package io.alio.client.transport;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLParameters;

/** TLS over a socket. The certificate must be of the host that was asked for. */
final class TlsWire implements Wire {
    private static final int FRAGMENT = 16 << 10; // the most bytes of a record

    private final Wire under;
    private final SSLEngine engine;
    private final Object writing = new Object(); // also held by the thread that reads, when an answer to what it read is due
    private final ByteBuffer sealed; // to be sent
    private final ByteBuffer received; // not opened yet
    private final ByteBuffer opened; // not read yet, of a record that found no room

    private TlsWire(Wire under, SSLEngine engine) {
        this.under = under;
        this.engine = engine;
        int packet = engine.getSession().getPacketBufferSize();
        sealed = ByteBuffer.allocateDirect(packet + FRAGMENT);
        received = ByteBuffer.allocateDirect(4 * packet);
        received.limit(0);
        opened = ByteBuffer.allocate(engine.getSession().getApplicationBufferSize());
        opened.limit(0);
    }

    /** Makes the connection safe, which takes some round trips. The socket is the caller's to close if it fails. */
    static TlsWire over(SocketChannel socket, SSLContext context, String host, int port) throws IOException {
        SSLEngine e = context.createSSLEngine(host, port);
        e.setUseClientMode(true);
        SSLParameters p = e.getSSLParameters();
        p.setEndpointIdentificationAlgorithm("HTTPS");
        try { // in Java 9, and in 8 since its update 251; these class files are of Java 8
            SSLParameters.class.getMethod("setApplicationProtocols", String[].class).invoke(p, (Object) new String[] {"h2"});
        } catch (ReflectiveOperationException missing) {
            throw new IOException("this Java (" + System.getProperty("java.version") + ") cannot agree on HTTP/2 by TLS: 8u251 or later can", missing);
        }
        e.setSSLParameters(p);
        TlsWire w = new TlsWire(Wire.plain(socket), e);
        e.beginHandshake();
        w.shake(e.getHandshakeStatus());
        return w;
    }

    /** Goes on until the handshake wants nothing more of this side, or bytes are to be read which another caller will. */
    private void shake(SSLEngineResult.HandshakeStatus first) throws IOException {
        ByteBuffer none = ByteBuffer.allocate(0);
        for (SSLEngineResult.HandshakeStatus s = first; ; ) {
            switch (s) {
                case NEED_TASK:
                    for (Runnable task = engine.getDelegatedTask(); task != null; task = engine.getDelegatedTask()) {
                        task.run();
                    }
                    s = engine.getHandshakeStatus();
                    break;
                case NEED_WRAP:
                    s = seal(none).getHandshakeStatus();
                    break;
                case FINISHED:
                case NOT_HANDSHAKING:
                    return;
                default: // NEED_UNWRAP
                    if (opened.hasRemaining()) {
                        return;
                    }
                    SSLEngineResult r = open(opened);
                    if (r == null) {
                        throw new EOFException("the other side ended the connection before TLS was agreed on: does its door speak TLS?");
                    }
                    s = r.getHandshakeStatus();
            }
        }
    }

    /** Seals one record's worth of src and sends it. */
    private SSLEngineResult seal(ByteBuffer src) throws IOException {
        synchronized (writing) {
            sealed.clear();
            SSLEngineResult r = engine.wrap(src, sealed);
            if (r.getStatus() == SSLEngineResult.Status.CLOSED && src.hasRemaining()) {
                throw new IOException("TLS was ended");
            }
            sealed.flip();
            under.write(sealed);
            return r;
        }
    }

    /** Opens one record into dst, reading as it must; null: the other side has ended. */
    private SSLEngineResult open(ByteBuffer dst) throws IOException {
        boolean own = dst == opened;
        if (own) {
            opened.clear();
        }
        try {
            while (true) {
                SSLEngineResult r = engine.unwrap(received, dst);
                switch (r.getStatus()) {
                    case OK:
                        return r;
                    case CLOSED:
                        return null;
                    case BUFFER_UNDERFLOW:
                        received.compact();
                        int n = under.read(received);
                        received.flip();
                        if (n < 0) {
                            return null;
                        }
                        break;
                    default: // BUFFER_OVERFLOW: both buffers are as large as the session says
                        throw new IOException("a TLS record larger than its session allows");
                }
            }
        } finally {
            if (own) {
                opened.flip();
            }
        }
    }

    @Override
    public int read(ByteBuffer dst) throws IOException {
        while (true) {
            if (opened.hasRemaining()) {
                int n = Math.min(opened.remaining(), dst.remaining());
                ByteBuffer part = opened.duplicate();
                part.limit(part.position() + n);
                dst.put(part);
                opened.position(opened.position() + n);
                return n;
            }
            int before = dst.position();
            boolean direct = dst.remaining() >= opened.capacity();
            SSLEngineResult r = open(direct ? dst : opened);
            if (r == null) {
                return -1;
            }
            if (r.getHandshakeStatus() != SSLEngineResult.HandshakeStatus.NOT_HANDSHAKING && r.getHandshakeStatus() != SSLEngineResult.HandshakeStatus.NEED_UNWRAP) {
                shake(r.getHandshakeStatus()); // the other side has changed its keys
            }
            if (dst.position() > before) {
                return dst.position() - before;
            }
        }
    }

    @Override
    public void write(ByteBuffer src) throws IOException {
        while (src.hasRemaining()) {
            seal(src);
        }
    }

    @Override
    public void sendBuffer(int bytes) throws IOException {
        under.sendBuffer(bytes);
    }

    @Override
    public void close() throws IOException {
        under.close(); // HTTP/2 has its own word for an end, and a lock for TLS's could be held by who hangs
    }
}
