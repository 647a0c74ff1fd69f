package io.alio.client.segment;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.ByteBuffer;
import java.util.zip.Checksum;

/**
 * CRC32C: by java.util.zip.CRC32C where there is one (Java 9 and later), which uses the processor's instruction; else by tables. It is found by method
 * handles and not by a multi-release jar, since engines' plug-ins are often repacked into jars whose manifest does not say that they are.
 */
public abstract class Crc32c {
    private static final MethodHandle NEW;
    private static final MethodHandle UPDATE_BUFFER;

    static {
        MethodHandle make = null;
        MethodHandle buffer = null;
        try {
            Class<?> c = Class.forName("java.util.zip.CRC32C");
            MethodHandles.Lookup l = MethodHandles.publicLookup();
            make = l.findConstructor(c, MethodType.methodType(void.class)).asType(MethodType.methodType(Checksum.class));
            buffer = l.findVirtual(c, "update", MethodType.methodType(void.class, ByteBuffer.class))
                    .asType(MethodType.methodType(void.class, Checksum.class, ByteBuffer.class));
        } catch (ReflectiveOperationException e) {
            make = null; // Java 8
        }
        NEW = make;
        UPDATE_BUFFER = buffer;
    }

    private Crc32c() {}

    /** A sum of nothing. It serves one thread. */
    public static Crc32c create() {
        return NEW != null ? new Native() : new Tables();
    }

    /** The one for Java 8. */
    static Crc32c software() {
        return new Tables();
    }

    public abstract void reset();

    public abstract void update(byte[] b, int offset, int length);

    /** Takes all that remains of b, and leaves its position where it was. */
    public abstract void update(ByteBuffer b);

    public abstract int value();

    /** Takes eight bytes, the lowest first. */
    public void updateLong(long v, byte[] scratch) {
        for (int i = 0; i < 8; i++) {
            scratch[i] = (byte) (v >>> 8 * i);
        }
        update(scratch, 0, 8);
    }

    private static final class Native extends Crc32c {
        private final Checksum sum;

        Native() {
            try {
                sum = (Checksum) NEW.invokeExact();
            } catch (Throwable e) {
                throw new AssertionError(e);
            }
        }

        @Override
        public void reset() {
            sum.reset();
        }

        @Override
        public void update(byte[] b, int offset, int length) {
            sum.update(b, offset, length);
        }

        @Override
        public void update(ByteBuffer b) {
            int at = b.position();
            try {
                UPDATE_BUFFER.invokeExact(sum, b);
            } catch (RuntimeException | Error e) { // a mapping's fault is an Error
                throw e;
            } catch (Throwable e) {
                throw new AssertionError(e);
            } finally {
                ((java.nio.Buffer) b).position(at);
            }
        }

        @Override
        public int value() {
            return (int) sum.getValue();
        }
    }

    /** Eight bytes at a time, by eight tables. */
    private static final class Tables extends Crc32c {
        private static final int[][] TABLE = new int[8][256];

        static {
            for (int n = 0; n < 256; n++) {
                int c = n;
                for (int k = 0; k < 8; k++) {
                    c = (c & 1) != 0 ? c >>> 1 ^ 0x82f63b78 : c >>> 1;
                }
                TABLE[0][n] = c;
            }
            for (int t = 1; t < 8; t++) {
                for (int n = 0; n < 256; n++) {
                    TABLE[t][n] = TABLE[t - 1][n] >>> 8 ^ TABLE[0][TABLE[t - 1][n] & 255];
                }
            }
        }

        private int crc = ~0;

        @Override
        public void reset() {
            crc = ~0;
        }

        @Override
        public void update(byte[] b, int offset, int length) {
            int c = crc;
            int end = offset + length;
            int i = offset;
            for (; i + 8 <= end; i += 8) {
                c ^= b[i] & 255 | (b[i + 1] & 255) << 8 | (b[i + 2] & 255) << 16 | (b[i + 3] & 255) << 24;
                c = TABLE[7][c & 255] ^ TABLE[6][c >>> 8 & 255] ^ TABLE[5][c >>> 16 & 255] ^ TABLE[4][c >>> 24]
                        ^ TABLE[3][b[i + 4] & 255] ^ TABLE[2][b[i + 5] & 255] ^ TABLE[1][b[i + 6] & 255] ^ TABLE[0][b[i + 7] & 255];
            }
            for (; i < end; i++) {
                c = c >>> 8 ^ TABLE[0][(c ^ b[i]) & 255];
            }
            crc = c;
        }

        @Override
        public void update(ByteBuffer b) {
            if (b.hasArray()) {
                update(b.array(), b.arrayOffset() + b.position(), b.remaining());
                return;
            }
            byte[] piece = new byte[Math.min(4096, b.remaining())];
            ByteBuffer d = b.duplicate();
            while (d.hasRemaining()) {
                int n = Math.min(piece.length, d.remaining());
                d.get(piece, 0, n);
                update(piece, 0, n);
            }
        }

        @Override
        public int value() {
            return ~crc;
        }
    }
}
