package io.alio.client.transport;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Reads what the other side of a connection sends, until that ends. */
final class FrameReader {
    private static final int HEAD = 9;
    private static final int MAX_FRAME = 16 << 10; // the default, which was not raised
    private static final int MAX_HEADERS = 64 << 10;
    private static final int PADDED = 8;
    private static final int PRIORITY = 32;
    private static final long TOP_UP = 1 << 24;

    private final Connection connection;
    private final Wire wire;
    private final ByteBuffer in = ByteBuffer.allocateDirect(256 << 10);
    private final ByteArrayOutputStream headers = new ByteArrayOutputStream();
    private long taken; // bytes of data since the connection's window was opened again
    private int headersOf; // the call whose headers go on; 0: none
    private boolean headersEnd; // and whether the call ends with them
    private boolean first = true;

    FrameReader(Connection connection, Wire wire) {
        this.connection = connection;
        this.wire = wire;
        in.limit(0);
    }

    /** Returns when the other side has closed the connection between two frames. */
    void run() throws IOException {
        while (true) {
            if (in.remaining() < HEAD && !fill(HEAD)) {
                return;
            }
            int length = (in.get() & 255) << 16 | (in.get() & 255) << 8 | in.get() & 255;
            int type = in.get() & 255;
            int flags = in.get() & 255;
            int id = in.getInt() & Integer.MAX_VALUE;
            if (length > MAX_FRAME || first && type != Connection.SETTINGS) {
                throw new ProtocolException(length == 0x485454 ? "what answers there speaks HTTP/1: that is not the gRPC door" : "what answers there does not speak HTTP/2");
            }
            first = false;
            if (in.remaining() < length && !fill(length)) {
                throw new EOFException("the sidecar closed the connection");
            }
            int limit = in.limit();
            int end = in.position() + length;
            in.limit(end);
            connection.hear();
            frame(type, flags, id);
            in.limit(limit).position(end);
        }
    }

    private boolean fill(int want) throws IOException {
        boolean nothing = !in.hasRemaining();
        in.compact();
        while (in.position() < want) {
            if (wire.read(in) < 0) {
                if (nothing && in.position() == 0) {
                    return false;
                }
                throw new EOFException("the sidecar closed the connection");
            }
        }
        in.flip();
        return true;
    }

    private void frame(int type, int flags, int id) throws IOException {
        if (headersOf != 0 && (type != Connection.CONTINUATION || id != headersOf)) {
            throw new ProtocolException("headers are interrupted");
        }
        switch (type) {
            case Connection.DATA:
                data(flags, id);
                break;
            case Connection.HEADERS:
                unpad(flags);
                if ((flags & PRIORITY) != 0) {
                    skip(5);
                }
                headers.reset();
                headersOf = id;
                headersEnd = (flags & Connection.END_STREAM) != 0;
                headerPiece(flags);
                break;
            case Connection.CONTINUATION:
                if (headersOf == 0) {
                    throw new ProtocolException("headers go on that have not begun");
                }
                headerPiece(flags);
                break;
            case Connection.RESET:
                reset(id, number());
                break;
            case Connection.SETTINGS:
                settings(flags);
                break;
            case Connection.PING:
                if ((flags & Connection.ACK) == 0) {
                    byte[] b = new byte[8];
                    need(8);
                    in.get(b);
                    connection.control(Connection.PING, Connection.ACK, b);
                }
                break;
            case Connection.GOAWAY:
                connection.leave((int) number() & Integer.MAX_VALUE);
                break;
            case Connection.WINDOW_UPDATE:
                connection.openWindow(id, number() & Integer.MAX_VALUE);
                break;
            default: // as the protocol says
                break;
        }
    }

    private void need(int n) throws ProtocolException {
        if (in.remaining() < n) {
            throw new ProtocolException("a frame is too short");
        }
    }

    private void skip(int n) throws ProtocolException {
        need(n);
        in.position(in.position() + n);
    }

    private long number() throws ProtocolException {
        need(4);
        return in.getInt() & 0xffffffffL;
    }

    private void unpad(int flags) throws ProtocolException {
        if ((flags & PADDED) != 0) {
            need(1);
            int pad = in.get() & 255;
            need(pad);
            in.limit(in.limit() - pad);
        }
    }

    private void data(int flags, int id) throws IOException {
        taken += in.remaining();
        unpad(flags);
        Call c = connection.find(id);
        if (c != null) {
            try {
                c.data(in);
            } catch (ProtocolException e) {
                senseless(c, e);
                c = null;
            }
        }
        if (c != null && (flags & Connection.END_STREAM) != 0) {
            connection.ended(c);
            c.end(-1, "");
        }
        if (taken >= TOP_UP) {
            connection.control(Connection.WINDOW_UPDATE, 0, ByteBuffer.allocate(4).putInt((int) taken).array());
            taken = 0;
        }
    }

    private void senseless(Call c, ProtocolException e) {
        if (c.finish(Call.State.SENSELESS, 0, e.getMessage())) {
            connection.reset(c);
        }
    }

    private void headerPiece(int flags) throws IOException {
        byte[] b = new byte[in.remaining()];
        in.get(b);
        headers.write(b, 0, b.length);
        if (headers.size() > MAX_HEADERS) {
            throw new ProtocolException("the sidecar's headers are too long");
        }
        if ((flags & Connection.END_HEADERS) == 0) {
            return;
        }
        int id = headersOf;
        headersOf = 0;
        Block block = new Block();
        Hpack.decode(headers.toByteArray(), headers.size(), block::header);
        Call c = connection.find(id);
        if (c == null) {
            return;
        }
        c.headers(block.http);
        if (headersEnd) {
            connection.ended(c);
            c.end(block.grpc, percent(block.message));
        }
    }

    /** What is wanted of a block of headers. */
    private static final class Block {
        private int http = -1;
        private int grpc = -1;
        private String message = "";

        void header(String name, String value) {
            switch (name) {
                case ":status":
                    http = parse(value);
                    break;
                case "grpc-status":
                    grpc = parse(value);
                    break;
                case "grpc-message":
                    message = value;
                    break;
                default:
                    break;
            }
        }

        private static int parse(String s) {
            try {
                return Math.max(0, Integer.parseInt(s));
            } catch (NumberFormatException e) {
                return 2; // unknown
            }
        }
    }

    /** Reads a status message, whose bytes beyond ASCII are percent-encoded UTF-8. */
    static String percent(String s) {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        for (int i = 0; i < s.length(); i++) {
            int hi = i + 2 < s.length() && s.charAt(i) == '%' ? Character.digit(s.charAt(i + 1), 16) : -1;
            int lo = hi >= 0 ? Character.digit(s.charAt(i + 2), 16) : -1;
            if (lo >= 0) {
                b.write(hi << 4 | lo);
                i += 2;
            } else {
                b.write(s.charAt(i));
            }
        }
        return new String(b.toByteArray(), StandardCharsets.UTF_8);
    }

    private void reset(int id, long code) {
        Call c = connection.find(id);
        if (c == null) {
            return;
        }
        connection.ended(c);
        if (c.heard()) {
            c.finish(Call.State.REFUSED, 14, "the sidecar broke the answer off (HTTP/2 error " + code + ")");
        } else {
            c.finish(Call.State.UNREACHED, 0, "the sidecar took no call (HTTP/2 error " + code + ")");
        }
    }

    private void settings(int flags) throws IOException {
        if ((flags & Connection.ACK) != 0) {
            return;
        }
        while (in.remaining() >= 6) {
            int id = in.getShort() & 0xffff;
            long value = number();
            if (id == 3) {
                connection.peerMaxCalls(value);
            } else if (id == 4) {
                if (value > Integer.MAX_VALUE) {
                    throw new ProtocolException("the sidecar's window is too large");
                }
                connection.peerCallWindow(value);
            }
        }
        connection.control(Connection.SETTINGS, Connection.ACK, new byte[0]);
    }
}
