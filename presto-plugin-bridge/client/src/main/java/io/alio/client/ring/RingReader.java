package io.alio.client.ring;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Takes the bytes of epochs and differences apart. */
final class RingReader {
    static final String EPOCH = "ALIOring";
    static final String DIFFERENCE = "ALIOdiff";
    static final int FORMAT = 1;
    static final int HASH = 32;

    private final byte[] b;
    private int at;
    private int end;

    RingReader(byte[] b) {
        this.b = b;
        this.end = b.length;
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }

    /** Reads what the bytes are, and takes the hash from their end. */
    byte[] open(String magic, String what) throws InvalidRingException {
        if (b.length < magic.length() + 1 + HASH || !magic.equals(new String(b, 0, magic.length(), StandardCharsets.ISO_8859_1))) {
            throw new InvalidRingException("the bytes are not those of " + what);
        }
        if (b[magic.length()] != FORMAT) {
            throw new InvalidRingException(what + " of format " + b[magic.length()] + ": this build knows " + FORMAT);
        }
        at = magic.length() + 1;
        end -= HASH;
        return Arrays.copyOfRange(b, end, b.length);
    }

    void finish() throws InvalidRingException {
        if (at != end) {
            throw new InvalidRingException(end - at + " bytes are left over");
        }
    }

    /** A varint of at most limit, both unsigned; a longer form than need be is refused. */
    long number(String what, long limit) throws InvalidRingException {
        long v = 0;
        for (int shift = 0; shift < 70; shift += 7) {
            if (at == end) {
                throw new InvalidRingException(what + ": the bytes end");
            }
            byte x = b[at++];
            if (shift == 63 && x != 1 || shift > 0 && x == 0) {
                throw new InvalidRingException(what + ": the number is too long, or longer than it need be");
            }
            v |= (x & 127L) << shift;
            if (x >= 0) {
                if (Long.compareUnsigned(v, limit) > 0) {
                    throw new InvalidRingException(what + " is " + Long.toUnsignedString(v) + ", and " + Long.toUnsignedString(limit) + " is the limit");
                }
                return v;
            }
        }
        throw new InvalidRingException(what + ": the number is too long");
    }

    int count(String what, int limit) throws InvalidRingException {
        return (int) number(what, limit);
    }

    int take(String what, int n) throws InvalidRingException {
        if (n > end - at) {
            throw new InvalidRingException(what + ": the bytes end");
        }
        at += n;
        return at - n;
    }

    byte[] bytes(String what, int n) throws InvalidRingException {
        int from = take(what, n);
        return Arrays.copyOfRange(b, from, from + n);
    }

    private String text(String what) throws InvalidRingException {
        int n = count(what, Path.MAX_NAME);
        int from = take(what, n);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(b, from, n)).toString();
        } catch (CharacterCodingException e) {
            throw new InvalidRingException(what + " is not UTF-8");
        }
    }

    void header(Table t) throws InvalidRingException {
        t.number = number("the epoch's number", Long.MIN_VALUE);
        t.owners = count("owners", Table.MAX_OWNERS);
        t.bound = count("bound", 1000);
        t.standbyBound = count("standby bound", 1000);
        t.sectionSize = number("section size", 1L << 62);
        t.pathVersion = count("path version", Path.VERSION);
        t.leastPartitions = count("least number of partitions", Table.MAX_PARTITIONS);
        for (int n = count("the number of zones", Table.MAX_ZONES); n > 0; n--) {
            String zone = text("zone");
            if (!t.zones.isEmpty() && Table.compare(t.zones.get(t.zones.size() - 1), zone) >= 0) {
                throw new InvalidRingException("zones are not in order");
            }
            t.zones.add(zone);
        }
        RingCheck.settings(t);
    }

    RingMember member(Table t) throws InvalidRingException {
        String name = text("member");
        int zone = count("zone of " + name, Math.max(1, t.zones.size()) - 1);
        int weight = count("weight of " + name, Table.MAX_WEIGHT);
        int flags = b[take("flags of " + name, 1)];
        if (flags < 0 || flags > 3) {
            throw new InvalidRingException("member " + name + " has flags " + flags);
        }
        String sidecar = text("address of " + name);
        String worker = text("address of " + name);
        return new RingMember(name, t.zones.isEmpty() ? "" : t.zones.get(zone), weight, (flags & 1) != 0, (flags & 2) != 0, sidecar, worker);
    }

    void members(Table t) throws InvalidRingException {
        for (int n = count("the number of members", Table.MAX_MEMBERS); n > 0; n--) {
            t.members.add(member(t));
        }
    }

    /** The members of a difference: those of the epoch before, without those who left, with those who are new or changed. */
    void patchMembers(Table from, Table t) throws InvalidRingException {
        boolean[] gone = new boolean[from.members.size()];
        int last = -1;
        for (int n = count("the number of members that left", Table.MAX_MEMBERS); n > 0; n--) {
            last += 1 + count("a member that left", Table.MAX_MEMBERS);
            if (last >= gone.length) {
                throw new InvalidRingException("slot " + last + " of " + gone.length + " left");
            }
            gone[last] = true;
        }
        List<RingMember> put = new ArrayList<>();
        for (int n = count("the number of members put", Table.MAX_MEMBERS); n > 0; n--) {
            put.add(member(t));
        }
        int j = 0;
        for (int i = 0; i < gone.length; i++) {
            if (gone[i]) {
                continue;
            }
            RingMember kept = from.members.get(i);
            while (j < put.size() && Table.compare(put.get(j).name(), kept.name()) < 0) {
                t.members.add(put.get(j++));
            }
            boolean changed = j < put.size() && put.get(j).name().equals(kept.name());
            t.members.add(changed ? put.get(j++) : kept);
        }
        t.members.addAll(put.subList(j, put.size()));
        if (t.members.size() > Table.MAX_MEMBERS) {
            throw new InvalidRingException(t.members.size() + " members");
        }
    }

    void partitions(Table t) throws InvalidRingException {
        t.partitions = count("the number of partitions", Table.MAX_PARTITIONS);
        if (t.partitions < t.leastPartitions || t.partitions < Table.PER_MEMBER * t.members.size() || Integer.bitCount(t.partitions) != 1) {
            throw new InvalidRingException(t.partitions + " partitions for " + t.members.size() + " members");
        }
    }

    void table(Table t) throws InvalidRingException {
        int width = t.slotBits();
        int entries = t.partitions * t.owners;
        int from = take("the table", (int) ((long) entries * width / 8));
        t.home = new char[entries];
        long buffer = 0;
        int have = 0;
        for (int i = 0; i < entries; i++) {
            for (; have < width; have += 8) {
                buffer |= (b[from++] & 255L) << have;
            }
            t.home[i] = entry(t, (int) (buffer & (1 << width) - 1));
            buffer >>>= width;
            have -= width;
        }
    }

    private static char entry(Table t, int v) throws InvalidRingException {
        if (v > t.members.size()) {
            throw new InvalidRingException("slot " + v + " of " + t.members.size());
        }
        return v == t.members.size() ? Table.NONE : (char) v;
    }

    /** The table of a difference: that of the epoch before, edited. */
    void edits(Table from, Table t) throws InvalidRingException {
        if (t.partitions < from.partitions) {
            throw new InvalidRingException("the table shrinks from " + from.partitions + " to " + t.partitions + " partitions");
        }
        t.home = from.carried(t);
        int last = -1;
        for (int n = count("the number of edits", t.home.length); n > 0; n--) {
            last += 1 + count("an edit's place", t.home.length);
            if (last >= t.home.length) {
                throw new InvalidRingException("an edit at " + last + " of " + t.home.length);
            }
            t.home[last] = entry(t, count("an edit's slot", t.members.size()));
        }
    }

    private char slot(Table t) throws InvalidRingException {
        int v = count("a slot", 1 << 16);
        if (v >= t.members.size()) {
            throw new InvalidRingException("slot " + v + " of " + t.members.size());
        }
        return (char) v;
    }

    /** Stand-ins and hot sections. A number that promises more than there are bytes is refused before room is made for it. */
    void overlay(Table t) throws InvalidRingException {
        int n = count("the number of stand-ins", Math.min(t.partitions, end - at));
        t.standinPartitions = new int[n];
        t.standinSlots = new char[n];
        int last = -1;
        for (int i = 0; i < n; i++) {
            last += 1 + count("a stand-in's partition", Table.MAX_PARTITIONS);
            if (last >= t.partitions) {
                throw new InvalidRingException("a stand-in for partition " + last + " of " + t.partitions);
            }
            t.standinPartitions[i] = last;
            t.standinSlots[i] = slot(t);
        }
        n = count("the number of hot sections", Math.min(Table.MAX_HOT, end - at));
        t.hotKeys = new long[n];
        t.hotCounts = new int[n];
        t.hotExtras = new char[n][];
        for (int i = 0; i < n; i++) {
            t.hotKeys[i] = XxHash64.word(b, take("a hot section", 8));
            if (i > 0 && Long.compareUnsigned(t.hotKeys[i - 1], t.hotKeys[i]) >= 0) {
                throw new InvalidRingException("hot sections are not in order");
            }
            t.hotCounts[i] = count("owners of a hot section", Table.MAX_HOT_OWNERS);
            t.hotExtras[i] = new char[count("extra owners of a hot section", Table.MAX_HOT_OWNERS)];
            for (int k = 0; k < t.hotExtras[i].length; k++) {
                t.hotExtras[i][k] = slot(t);
            }
        }
    }
}
