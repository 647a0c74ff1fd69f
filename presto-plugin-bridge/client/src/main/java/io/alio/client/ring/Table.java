package io.alio.client.ring;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** The content of an epoch, as its bytes have it. A slot is a place in members; NONE stands for no slot. */
final class Table {
    static final char NONE = 0xffff;
    static final int PER_MEMBER = 20;
    static final int MAX_MEMBERS = 65000;
    static final int MAX_PARTITIONS = 1 << 21;
    static final int MAX_WEIGHT = 1_000_000;
    static final int MAX_OWNERS = 8;
    static final int MAX_HOT_OWNERS = 64;
    static final int MAX_HOT = 100_000;
    static final int MAX_ZONES = 256;

    long number;
    int owners;
    int bound;
    int standbyBound;
    long sectionSize;
    int pathVersion;
    int leastPartitions;
    final List<String> zones = new ArrayList<>();
    final List<RingMember> members = new ArrayList<>();
    int partitions;
    char[] home = {};
    int[] standinPartitions = {};
    char[] standinSlots = {};
    long[] hotKeys = {};
    int[] hotCounts = {};
    char[][] hotExtras = {};

    /** How many bits hold a slot, or the number of members, which stands for none. */
    int slotBits() {
        return Math.max(1, 32 - Integer.numberOfLeadingZeros(members.size()));
    }

    /** For each slot of this epoch the slot of the same name in a later list; NONE if it has left. */
    char[] mapped(List<RingMember> later) {
        char[] out = new char[members.size()];
        int j = 0;
        for (int i = 0; i < out.length; i++) {
            String name = members.get(i).name();
            while (j < later.size() && compare(later.get(j).name(), name) < 0) {
                j++;
            }
            out[i] = j < later.size() && later.get(j).name().equals(name) ? (char) j : NONE;
        }
        return out;
    }

    /** The table in the size and with the slots of a later epoch; holes where members have left. */
    char[] carried(Table later) {
        char[] slots = mapped(later.members);
        int times = later.partitions / partitions;
        char[] out = new char[later.partitions * later.owners];
        for (int p = 0; p < later.partitions; p++) {
            for (int c = 0; c < later.owners; c++) {
                char s = c < owners ? home[p / times * owners + c] : NONE;
                out[p * later.owners + c] = s == NONE ? NONE : slots[s];
            }
        }
        return out;
    }

    /** Names are in the order of their UTF-8 bytes, which is not always that of Java's characters. */
    static int compare(String a, String b) {
        byte[] x = a.getBytes(StandardCharsets.UTF_8);
        byte[] y = b.getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < x.length && i < y.length; i++) {
            if (x[i] != y[i]) {
                return (x[i] & 255) - (y[i] & 255);
            }
        }
        return x.length - y.length;
    }
}
