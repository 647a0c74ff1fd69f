package io.alio.client.transport;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.InetSocketAddress;
import java.net.ProtocolFamily;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.nio.channels.SocketChannel;

/** Where the sidecar listens. */
public final class Endpoint {
    private final String name;
    private final boolean socket;

    private Endpoint(String name, boolean socket) {
        this.name = name;
        this.socket = socket;
    }

    /** A Unix socket, by its path ("unix:" may stand before it). */
    public static Endpoint unix(String path) {
        return new Endpoint(path.startsWith("unix:") ? path.substring("unix:".length()) : path, true);
    }

    /** A TCP address, host:port. */
    public static Endpoint tcp(String hostAndPort) {
        return new Endpoint(hostAndPort, false);
    }

    String name() {
        return name;
    }

    SocketChannel connect() throws IOException {
        if (socket) {
            return connectUnix();
        }
        int colon = name.lastIndexOf(':');
        SocketChannel s = SocketChannel.open();
        try {
            s.setOption(StandardSocketOptions.TCP_NODELAY, true);
            InetSocketAddress a = new InetSocketAddress(name.substring(0, colon), Integer.parseInt(name.substring(colon + 1)));
            if (a.isUnresolved()) {
                throw new IOException("no such host");
            }
            s.connect(a);
            return s;
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
