package io.alio.client.ring;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/** Makes an epoch's bytes: an epoch has one encoding, and its hash tells whether a difference led to the right one. */
final class RingWriter {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    static byte[] encode(Table t) {
        RingWriter w = new RingWriter();
        byte[] magic = RingReader.EPOCH.getBytes(StandardCharsets.ISO_8859_1);
        w.out.write(magic, 0, magic.length);
        w.out.write(RingReader.FORMAT);
        w.header(t);
        w.number(t.members.size());
        for (RingMember m : t.members) {
            w.member(t, m);
        }
        w.number(t.partitions);
        w.table(t);
        w.overlay(t);
        byte[] hash = RingReader.sha256().digest(w.out.toByteArray());
        w.out.write(hash, 0, hash.length);
        return w.out.toByteArray();
    }

    private void number(long v) {
        for (; (v & ~127L) != 0; v >>>= 7) {
            out.write((int) (v & 127) | 128);
        }
        out.write((int) v);
    }

    private void text(String s) {
        byte[] b = s.getBytes(StandardCharsets.UTF_8);
        number(b.length);
        out.write(b, 0, b.length);
    }

    private void header(Table t) {
        number(t.number);
        number(t.owners);
        number(t.bound);
        number(t.standbyBound);
        number(t.sectionSize);
        number(t.pathVersion);
        number(t.leastPartitions);
        number(t.zones.size());
        for (String zone : t.zones) {
            text(zone);
        }
    }

    private void member(Table t, RingMember m) {
        text(m.name());
        number(Math.max(0, t.zones.indexOf(m.zone())));
        number(m.weight());
        out.write((m.draining() ? 1 : 0) | (m.excluded() ? 2 : 0));
        text(m.sidecar());
        text(m.worker());
    }

    private void table(Table t) {
        int width = t.slotBits();
        long buffer = 0;
        int have = 0;
        for (char s : t.home) {
            buffer |= (long) (s == Table.NONE ? t.members.size() : s) << have;
            for (have += width; have >= 8; have -= 8) {
                out.write((int) buffer);
                buffer >>>= 8;
            }
        }
    }

    private void overlay(Table t) {
        number(t.standinPartitions.length);
        int last = -1;
        for (int i = 0; i < t.standinPartitions.length; i++) {
            number(t.standinPartitions[i] - last - 1);
            number(t.standinSlots[i]);
            last = t.standinPartitions[i];
        }
        number(t.hotKeys.length);
        for (int i = 0; i < t.hotKeys.length; i++) {
            for (int n = 0; n < 64; n += 8) {
                out.write((int) (t.hotKeys[i] >>> n));
            }
            number(t.hotCounts[i]);
            number(t.hotExtras[i].length);
            for (char s : t.hotExtras[i]) {
                number(s);
            }
        }
    }
}
