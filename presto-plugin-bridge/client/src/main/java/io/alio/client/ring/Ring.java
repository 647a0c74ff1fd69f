package io.alio.client.ring;

import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One epoch: who owns which section. It never changes, and may be used by many threads. */
public final class Ring {
    private static final long GOLDEN = 0x9e3779b97f4a7c15L;
    private static final int PROBES = 64;

    private final Table t;
    private final byte[] encoding;
    private final int[] serving; // slots that answers may name
    private final boolean[] serves;
    private final int width;
    private final char[] rows; // width for each partition
    private final Map<Long, int[]> hot = new HashMap<>(); // all owners of a hot section
    private final Map<Long, Integer> hotCounts = new HashMap<>();

    private Ring(Table t, byte[] encoding) {
        this.t = t;
        this.encoding = encoding;
        serving = servingSlots(t);
        serves = new boolean[t.members.size()];
        for (int s : serving) {
            serves[s] = true;
        }
        width = Math.min(t.owners, serving.length);
        rows = new char[t.partitions * width];
        if (width > 0) {
            makeRows();
            makeHot();
        }
    }

    /** Reads an epoch and checks all of it: its hash, its form, and that it keeps what epochs promise. */
    public static Ring decode(byte[] encoding) throws InvalidRingException {
        RingReader r = new RingReader(encoding);
        byte[] hash = r.open(RingReader.EPOCH, "an epoch");
        byte[] sum = RingReader.sha256().digest(Arrays.copyOf(encoding, encoding.length - RingReader.HASH));
        if (!Arrays.equals(hash, sum)) {
            throw new InvalidRingException("an epoch's hash does not match its bytes");
        }
        Table t = new Table();
        r.header(t);
        r.members(t);
        r.partitions(t);
        r.table(t);
        r.overlay(t);
        r.finish();
        RingCheck.epoch(t);
        return new Ring(t, encoding.clone());
    }

    /** The epoch to which a difference from this one leads, checked as {@link #decode} checks. */
    public Ring patch(byte[] difference) throws InvalidRingException {
        RingReader r = new RingReader(difference);
        byte[] want = r.open(RingReader.DIFFERENCE, "a difference between epochs");
        if (!Arrays.equals(r.bytes("the hash", RingReader.HASH), hash())) {
            throw new InvalidRingException("the difference is not from this epoch, " + Long.toUnsignedString(t.number));
        }
        Table next = new Table();
        r.header(next);
        r.patchMembers(t, next);
        r.partitions(next);
        r.edits(t, next);
        r.overlay(next);
        r.finish();
        RingCheck.epoch(next);
        Ring ring = new Ring(next, RingWriter.encode(next));
        if (!Arrays.equals(ring.hash(), want)) {
            throw new InvalidRingException("the difference leads to an epoch with another hash than it says");
        }
        return ring;
    }

    /** The epoch's bytes. */
    public byte[] encode() {
        return encoding.clone();
    }

    /** The SHA-256 that the bytes end with. */
    public byte[] hash() {
        return Arrays.copyOfRange(encoding, encoding.length - RingReader.HASH, encoding.length);
    }

    /** Counts the epochs; unsigned. */
    public long number() {
        return t.number;
    }

    public int partitions() {
        return t.partitions;
    }

    /** The length of the file ranges that are placed as one key. */
    public long sectionSize() {
        return t.sectionSize;
    }

    /** The largest number of owners that {@link #owners} gives. */
    public int most() {
        return width;
    }

    /** All members, by name: a slot is a place in this list. */
    public List<RingMember> members() {
        return Collections.unmodifiableList(t.members);
    }

    /** The hash by which the section of a file is placed that holds an offset. A malformed mount, path or offset is an IllegalArgumentException. */
    public long key(String mount, String path, long offset) {
        if (offset < 0) {
            throw new IllegalArgumentException("offset " + offset + ": offsets begin at 0");
        }
        return Path.key(mount, path, offset / t.sectionSize);
    }

    /**
     * The slots of the k distinct members that own a key, in order: the first should be asked, the others stand by. A hot key has more than k if the epoch says so.
     * Asking for more owners than there are is an IllegalArgumentException: see {@link #most}.
     */
    public int[] owners(long key, int k) {
        if (k < 1 || k > width) {
            throw new IllegalArgumentException(k + " owners asked for: epoch " + Long.toUnsignedString(t.number) + " gives 1 to " + width);
        }
        int[] all = hot.isEmpty() ? null : hot.get(key);
        if (all != null) {
            return Arrays.copyOf(all, Math.max(k, hotCounts.get(key)));
        }
        int[] out = new int[k];
        int row = scale(key, t.partitions) * width;
        for (int i = 0; i < k; i++) {
            out[i] = rows[row + i];
        }
        return out;
    }

    private static int[] servingSlots(Table t) {
        int[] out = new int[t.members.size()];
        for (int pass = 0; pass < 2; pass++) { // exclusions that leave nobody say nothing
            int n = 0;
            for (int i = 0; i < out.length; i++) {
                RingMember m = t.members.get(i);
                if (!m.draining() && (pass == 1 || !m.excluded())) {
                    out[n++] = i;
                }
            }
            if (n > 0) {
                return Arrays.copyOf(out, n);
            }
        }
        return new int[0];
    }

    private void makeRows() {
        int next = 0;
        int[] row = new int[width];
        for (int p = 0; p < t.partitions; p++) {
            int n = 0;
            if (next < t.standinPartitions.length && t.standinPartitions[next] == p) {
                row[n++] = t.standinSlots[next++];
            }
            for (int c = 0; c < t.owners && n < width; c++) {
                char s = t.home[p * t.owners + c];
                if (s != Table.NONE && serves[s] && !contains(row, n, s)) {
                    row[n++] = s;
                }
            }
            fill(row, n, p);
            for (int i = 0; i < width; i++) {
                rows[p * width + i] = (char) row[i];
            }
        }
    }

    private void makeHot() {
        for (int i = 0; i < t.hotKeys.length; i++) {
            long key = t.hotKeys[i];
            int count = Math.min(t.hotCounts[i], serving.length);
            int[] row = new int[Math.max(count, width + t.hotExtras[i].length)];
            int n = 0;
            for (int at = scale(key, t.partitions) * width; n < width; at++) {
                row[n++] = rows[at];
            }
            for (char s : t.hotExtras[i]) {
                if (serves[s] && !contains(row, n, s)) {
                    row[n++] = s;
                }
            }
            row = Arrays.copyOf(row, Math.max(n, Math.max(count, width)));
            fill(row, n, key);
            hot.put(key, row);
            hotCounts.put(key, count);
        }
    }

    /** Draws members that serve until the row is full. */
    private void fill(int[] row, int n, long seed) {
        long from = mix(seed);
        for (int i = 0; n < row.length; i++) {
            int at = i < PROBES ? scale(mix(from + i * GOLDEN), serving.length) : i - PROBES;
            if (!contains(row, n, serving[at])) {
                row[n++] = serving[at];
            }
        }
    }

    private static boolean contains(int[] row, int n, int slot) {
        for (int i = 0; i < n; i++) {
            if (row[i] == slot) {
                return true;
            }
        }
        return false;
    }

    /** The finalizer of SplitMix64. */
    private static long mix(long x) {
        x = (x ^ x >>> 30) * 0xbf58476d1ce4e5b9L;
        x = (x ^ x >>> 27) * 0x94d049bb133111ebL;
        return x ^ x >>> 31;
    }

    /** Maps a hash evenly to 0 ≤ x &lt; n, by its upper half. */
    private static int scale(long hash, int n) {
        return (int) ((hash >>> 32) * n >>> 32);
    }
}
