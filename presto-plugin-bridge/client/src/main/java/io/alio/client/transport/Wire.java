package io.alio.client.transport;

import java.io.Closeable;
import java.io.IOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;

/** What a connection's bytes travel by. One thread reads, and one at a time writes. */
interface Wire extends Closeable {
    /** Reads some bytes, at least one; -1: the other side has ended. */
    int read(ByteBuffer dst) throws IOException;

    /** Writes all that remains of src. */
    void write(ByteBuffer src) throws IOException;

    /** Asks for so large a buffer for what is sent. */
    void sendBuffer(int bytes) throws IOException;

    /** A socket as it is. */
    static Wire plain(SocketChannel socket) {
        return new Wire() {
            @Override
            public int read(ByteBuffer dst) throws IOException {
                return socket.read(dst);
            }

            @Override
            public void write(ByteBuffer src) throws IOException {
                while (src.hasRemaining()) {
                    socket.write(src);
                }
            }

            @Override
            public void sendBuffer(int bytes) throws IOException {
                socket.setOption(StandardSocketOptions.SO_SNDBUF, bytes);
            }

            @Override
            public void close() throws IOException {
                socket.close();
            }
        };
    }
}
