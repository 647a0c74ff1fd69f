package io.alio.client.transport;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.InetSocketAddress;
import java.net.ProtocolFamily;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.nio.channels.SocketChannel;
import javax.net.ssl.SSLContext;

/** Where the sidecar listens. */
public final class Endpoint {
    private final String name;
    private final boolean socket;
    private final SSLContext tls; // null: none

    private Endpoint(String name, boolean socket, SSLContext tls) {
        this.name = name;
        this.socket = socket;
        this.tls = tls;
    }

    /** A Unix socket, by its path ("unix:" may stand before it). */
    public static Endpoint unix(String path) {
        return new Endpoint(path.startsWith("unix:") ? path.substring("unix:".length()) : path, true, null);
    }

    /**
     * A TCP address, host:port.
     *
     * @param tls null: none
     */
    public static Endpoint tcp(String hostAndPort, SSLContext tls) {
        return new Endpoint(hostAndPort, false, tls);
    }

    /** "https" with TLS. */
    String scheme() {
        return tls == null ? "http" : "https";
    }

    String name() {
        return name;
    }

    Wire connect() throws IOException {
        if (socket) {
            return Wire.plain(connectUnix());
        }
        int colon = name.lastIndexOf(':');
        String host = name.substring(0, colon);
        if (host.startsWith("[") && host.endsWith("]")) {
            host = host.substring(1, host.length() - 1); // an IPv6 address
        }
        SocketChannel s = SocketChannel.open();
        try {
            s.setOption(StandardSocketOptions.TCP_NODELAY, true);
            InetSocketAddress a = new InetSocketAddress(host, Integer.parseInt(name.substring(colon + 1)));
            if (a.isUnresolved()) {
                throw new IOException("no such host");
            }
            s.connect(a);
            return tls == null ? Wire.plain(s) : TlsWire.over(s, tls, host, a.getPort());
        } catch (IOException | RuntimeException e) {
            s.close();
            throw e instanceof IOException ? (IOException) e : new IOException(e);
        }
    }

    /** Unix sockets came with Java 16, and these class files are of Java 8. */
    private SocketChannel connectUnix() throws IOException {
        try {
            SocketAddress a = (SocketAddress) Class.forName("java.net.UnixDomainSocketAddress").getMethod("of", String.class).invoke(null, name);
            SocketChannel s = (SocketChannel) SocketChannel.class.getMethod("open", ProtocolFamily.class).invoke(null, StandardProtocolFamily.valueOf("UNIX"));
            try {
                s.connect(a);
                return s;
            } catch (IOException | RuntimeException e) {
                s.close();
                throw e;
            }
        } catch (InvocationTargetException e) {
            throw new IOException(e.getCause());
        } catch (ReflectiveOperationException | IllegalArgumentException e) {
            throw new IOException("this Java (" + System.getProperty("java.version") + ") has no Unix sockets, which came with 16: use the sidecar's TCP door", e);
        }
    }

    /** What an error of the connection means, in words. */
    String explain(IOException e) {
        return name + ": " + (e.getMessage() == null ? e.toString() : e.getMessage());
    }
}
