package io.alio.client.ring;

/** What must hold of an epoch, whoever wrote it: distinct owners, as many as there can be, none that drains, and loads within the bound. */
final class RingCheck {
    private final Table t;

    private RingCheck(Table t) {
        this.t = t;
    }

    static void settings(Table t) throws InvalidRingException {
        boolean good = t.owners >= 1 && t.bound >= 10 && t.standbyBound >= 10 && t.sectionSize >= 1 << 20 && t.pathVersion == Path.VERSION;
        if (!good || t.leastPartitions < 64 || Integer.bitCount(t.leastPartitions) != 1) {
            throw new InvalidRingException("a setting is missing, or out of its range");
        }
        for (String zone : t.zones) {
            name("zone", zone);
        }
    }

    private static void name(String what, String name) throws InvalidRingException {
        if (name.isEmpty() || name.chars().anyMatch(c -> c < ' ' || c == 0x7f)) {
            throw new InvalidRingException(what + " \"" + name + "\": a name is not empty, and has no control characters");
        }
    }

    static void epoch(Table t) throws InvalidRingException {
        RingCheck check = new RingCheck(t);
        check.members();
        check.rows();
        check.standins();
        check.hot();
    }

    private void members() throws InvalidRingException {
        for (int i = 0; i < t.members.size(); i++) {
            RingMember m = t.members.get(i);
            name("member", m.name());
            if (m.weight() < 1) {
                throw new InvalidRingException("member " + m.name() + " has weight 0");
            }
            if (i > 0 && Table.compare(t.members.get(i - 1).name(), m.name()) >= 0) {
                throw new InvalidRingException("members are not in order, or " + m.name() + " is there twice");
            }
        }
    }

    private void rows() throws InvalidRingException {
        int active = (int) t.members.stream().filter(m -> !m.draining()).count();
        int width = Math.min(active, t.owners);
        int[] held = new int[t.members.size()];
        for (int p = 0; p < t.partitions; p++) {
            int row = p * t.owners;
            for (int c = 0; c < t.owners; c++) {
                char s = t.home[row + c];
                boolean wrong = s == Table.NONE ? c < width : c >= width || t.members.get(s).draining();
                for (int k = 0; k < c && s != Table.NONE; k++) {
                    wrong |= t.home[row + k] == s;
                }
                if (wrong) {
                    throw new InvalidRingException("partition " + p + " has not " + width + " distinct owners that do not drain");
                }
            }
            if (width > 0) {
                held[t.home[row]]++;
            }
        }
        bound(held, false);
    }

    /** No member holds more than (1 + bound) times its share, rounded up; the shares are those of members that count. */
    private void bound(int[] held, boolean withoutExcluded) throws InvalidRingException {
        long total = 0;
        for (RingMember m : t.members) {
            total += counts(m, withoutExcluded) ? m.weight() : 0;
        }
        for (int i = 0; i < held.length; i++) {
            RingMember m = t.members.get(i);
            long part = counts(m, withoutExcluded) ? (long) t.partitions * m.weight() * (1000 + t.bound) : 0;
            long limit = total == 0 ? 0 : (part + total * 1000 - 1) / (total * 1000);
            if (held[i] > limit) {
                throw new InvalidRingException("member " + m.name() + " has " + held[i] + " partitions, and " + limit + " is its bound");
            }
        }
    }

    private static boolean counts(RingMember m, boolean withoutExcluded) {
        return !m.draining() && !(withoutExcluded && m.excluded());
    }

    private void standins() throws InvalidRingException {
        if (t.members.stream().noneMatch(m -> counts(m, true))) {
            if (t.standinPartitions.length > 0) {
                throw new InvalidRingException("there are stand-ins, and nobody serves");
            }
            return;
        }
        int[] held = new int[t.members.size()];
        int next = 0;
        for (int p = 0; p < t.partitions; p++) {
            char first = t.home[p * t.owners];
            boolean has = next < t.standinPartitions.length && t.standinPartitions[next] == p;
            if (has == counts(t.members.get(first), true)) {
                throw new InvalidRingException("partition " + p + " lacks a stand-in, or has one without need");
            }
            if (has) {
                first = t.standinSlots[next++];
            }
            if (!counts(t.members.get(first), true)) {
                throw new InvalidRingException("the stand-in of partition " + p + " does not serve");
            }
            held[first]++;
        }
        bound(held, true);
    }

    private void hot() throws InvalidRingException {
        for (int i = 0; i < t.hotKeys.length; i++) {
            boolean wrong = t.hotCounts[i] < 1;
            char[] extras = t.hotExtras[i];
            for (int k = 0; k < extras.length; k++) {
                wrong |= t.members.get(extras[k]).draining();
                for (int n = 0; n < k; n++) {
                    wrong |= extras[n] == extras[k];
                }
            }
            if (wrong) {
                throw new InvalidRingException("a hot section has no owners, one twice, or one that drains");
            }
        }
    }
}
