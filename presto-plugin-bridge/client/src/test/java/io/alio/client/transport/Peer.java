package io.alio.client.transport;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.ByteBuffer;

/** The other side of a connection, byte by byte. */
public final class Peer {
    final DataInputStream in;
    final OutputStream out;
    int type;
    int flags;
    public int id;
    public byte[] payload;

    public Peer(Socket s) throws IOException {
        in = new DataInputStream(s.getInputStream());
        out = s.getOutputStream();
    }

    public void hello(int... settings) throws IOException {
        in.readFully(new byte[24]);
        ByteBuffer b = ByteBuffer.allocate(3 * settings.length);
        for (int i = 0; i < settings.length; i += 2) {
            b.putShort((short) settings[i]).putInt(settings[i + 1]);
        }
        send(Connection.SETTINGS, 0, 0, b.array());
    }

    /** Reads the next frame of a kind; others are passed over. */
    public void next(int wanted) throws IOException {
        do {
            int head = in.readInt();
            payload = new byte[head >>> 8];
            type = head & 255;
            flags = in.read();
            id = in.readInt();
            in.readFully(payload);
        } while (type != wanted);
    }

    public void send(int frameType, int frameFlags, int call, byte[] b) throws IOException {
        ByteBuffer f = ByteBuffer.allocate(9 + b.length);
        f.put((byte) (b.length >>> 16)).putShort((short) b.length).put((byte) frameType).put((byte) frameFlags).putInt(call).put(b);
        out.write(f.array());
    }

    public void number(int frameType, int call, int n) throws IOException {
        send(frameType, 0, call, ByteBuffer.allocate(4).putInt(n).array());
    }

    public void headers(int call, boolean end, String... pairs) throws IOException {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        for (int i = 0; i < pairs.length; i += 2) {
            Hpack.literal(b, pairs[i], pairs[i + 1]);
        }
        byte[] all = b.toByteArray();
        int half = all.length / 2; // in two frames
        send(Connection.HEADERS, end ? Connection.END_STREAM : 0, call, java.util.Arrays.copyOf(all, half));
        send(Connection.CONTINUATION, Connection.END_HEADERS, call, java.util.Arrays.copyOfRange(all, half, all.length));
    }

    public void answer(int call, byte[] message) throws IOException {
        begin(call);
        message(call, message);
        headers(call, true, "grpc-status", "0");
    }

    /** Begins an answer. */
    public void begin(int call) throws IOException {
        headers(call, false, ":status", "200", "content-type", "application/grpc");
    }

    /** One message of an answer, in frames of all sizes. */
    public void message(int call, byte[] message) throws IOException {
        ByteBuffer b = ByteBuffer.allocate(5 + message.length);
        b.put((byte) 0).putInt(message.length).put(message);
        byte[] all = b.array();
        for (int at = 0; at < all.length; ) {
            int n = Math.min(all.length - at, 1 + at * 3 % 7000);
            ByteBuffer padded = ByteBuffer.allocate(1 + n + 3); // each frame with padding
            padded.put((byte) 3).put(all, at, n);
            send(Connection.DATA, 8, call, padded.array());
            at += n;
        }
    }
}
