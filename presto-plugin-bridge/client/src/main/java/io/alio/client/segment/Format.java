package io.alio.client.segment;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

/** The numbers of the format, keys, and the checks of headers. Numbers are little-endian. */
public final class Format {
    public static final int HEADER = 64;
    public static final int TRAILER = 64;
    public static final int ALIGN = 64;
    public static final int BLOCK = 64 << 10;
    public static final int MAX_PAGE = 1 << 20;
    public static final int MAX_RECORD_HEADER = 128;
    /** How much of it is summed, with what goes before. */
    public static final int SUMMED = 24 + MAX_RECORD_HEADER - 4;
    public static final int KEY = 16;

    private static final long SEGMENT_MAGIC = 0x0047_4553_4f49_4c41L; // "ALIOSEG\0"
    private static final long TRAILER_MAGIC = 0x0044_4e45_4f49_4c41L; // "ALIOEND\0"
    private static final int RECORD_MAGIC = 0x6770_4c41; // "ALpg"
    private static final int VERSION = 1;

    private Format() {}

    /** The name of a segment's file. */
    public static String name(long instance, long seq) {
        return String.format("%016x-%08x.seg", instance, seq);
    }

    public static int blocks(int length) {
        return (length + BLOCK - 1) / BLOCK;
    }

    /** The size of the header of a record whose page has so many bytes. */
    public static int recordHeader(int length) {
        return blocks(length) <= 8 ? 64 : 128;
    }

    public static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java has SHA-256", e);
        }
    }

    /** A page's key: the first 16 bytes of the digest of its part's key, its offset in the part and its length. */
    public static byte[] pageKey(MessageDigest sha, byte[] partKey, long offset, long length) {
        ByteBuffer b = ByteBuffer.allocate(KEY + 16).order(ByteOrder.LITTLE_ENDIAN);
        b.put(partKey, 0, KEY).putLong(offset).putLong(length);
        return Arrays.copyOf(sha.digest(b.array()), KEY);
    }

    /** How a segment's header compares with its name. */
    public enum HeaderCheck {
        OK,
        /** Of another version of the format, or no header, or another segment's: no page of the file is read. */
        FOREIGN,
    }

    /** Checks a segment's header, the 64 bytes at b's position. */
    public static HeaderCheck checkHeader(ByteBuffer b, long instance, long seq) {
        ByteBuffer h = b.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        int at = h.position();
        Crc32c crc = Crc32c.create();
        ByteBuffer summed = h.duplicate();
        summed.limit(at + 60);
        crc.update(summed);
        boolean ok = h.getLong(at) == SEGMENT_MAGIC && h.getInt(at + 8) == VERSION && h.getLong(at + 16) == instance && h.getLong(at + 24) == seq
                && h.getInt(at + 60) == crc.value();
        return ok ? HeaderCheck.OK : HeaderCheck.FOREIGN;
    }

    /** Checks the trailer of a segment of fileSize bytes, the 64 bytes at b's position: a segment that has one is sealed. */
    public static boolean isTrailer(ByteBuffer b, long instance, long seq, long fileSize) {
        ByteBuffer t = b.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        int at = t.position();
        Crc32c crc = seed(instance, seq);
        ByteBuffer summed = t.duplicate();
        summed.limit(at + 60);
        crc.update(summed);
        long n = t.getInt(at + 12) & 0xffffffffL;
        long end = t.getLong(at + 16);
        return t.getLong(at) == TRAILER_MAGIC && t.getInt(at + 8) == VERSION && t.getLong(at + 24) == instance && t.getLong(at + 32) == seq
                && end >= HEADER && n <= (end - HEADER) / 128 && end + 32 * n + TRAILER == fileSize && t.getInt(at + 60) == crc.value();
    }

    private static Crc32c seed(long instance, long seq) {
        Crc32c crc = Crc32c.create();
        byte[] scratch = new byte[8];
        crc.updateLong(instance, scratch);
        crc.updateLong(seq, scratch);
        return crc;
    }

    /**
     * Checks a record's header, the bytes of b from at: it must name this page at this place of this segment.
     *
     * @param sum room for SUMMED bytes, little-endian, over an array
     * @param keyLow with keyHigh, the key's 16 bytes as two numbers
     */
    public static boolean checkRecord(ByteBuffer b, int at, Crc32c crc, ByteBuffer sum, long instance, long seq, long record, long keyLow, long keyHigh, int length) {
        if (b.getInt(at) != RECORD_MAGIC || b.getInt(at + 4) != length || b.getLong(at + 8) != keyLow || b.getLong(at + 16) != keyHigh || b.get(at + 25) != 0) {
            return false;
        }
        // What is summed is brought together first, since each beginning of a sum costs about as much as this.
        int size = recordHeader(length);
        sum.putLong(0, instance).putLong(8, seq).putLong(16, record);
        for (int i = 0; i < 24; i += 8) {
            sum.putLong(24 + i, b.getLong(at + i));
        }
        sum.putInt(48, b.getInt(at + 24));
        for (int i = 32; i < size; i += 8) {
            sum.putLong(20 + i, b.getLong(at + i));
        }
        crc.reset();
        crc.update(sum.array(), 0, 20 + size);
        return b.getInt(at + 28) == crc.value();
    }

    /** The sum of a block in a record's header. */
    public static int blockSum(ByteBuffer b, int at, int block) {
        return b.getInt(at + 32 + 4 * block);
    }
}
