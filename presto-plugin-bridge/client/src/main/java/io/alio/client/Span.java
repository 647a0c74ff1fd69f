package io.alio.client;

import java.util.ArrayList;
import java.util.List;

/** The bytes [from, to) of an object. Lists of them are in order and do not overlap. */
final class Span {
    /** To the end of whatever it is. */
    static final long END = Long.MAX_VALUE;

    /** What lies between two misses is read again rather than a second request made. */
    static final long NEAR = 64 << 10;

    private static final int MOST = 16; // that a view remembers to ask about; beyond it, those nearest to each other become one

    final long from;
    final long to;

    Span(long from, long to) {
        this.from = from;
        this.to = to;
    }

    static Span of(ByteRange r) {
        return new Span(r.offset(), r.length() == 0 ? END : r.offset() + r.length());
    }

    /** Appends a span that begins at or after the list's end. */
    static void append(List<Span> list, long from, long to) {
        int last = list.size() - 1;
        if (last >= 0 && list.get(last).to == from) {
            list.set(last, new Span(list.get(last).from, to));
        } else {
            list.add(new Span(from, to));
        }
    }

    /** Adds a span, joins what touches, and keeps the list short. */
    static List<Span> add(List<Span> list, Span s) {
        List<Span> all = new ArrayList<>(list);
        all.add(s);
        all.sort((a, b) -> Long.compare(a.from, b.from));
        List<Span> out = new ArrayList<>();
        for (Span x : all) {
            int last = out.size() - 1;
            if (last >= 0 && x.from <= out.get(last).to) {
                out.set(last, new Span(out.get(last).from, Math.max(out.get(last).to, x.to)));
            } else {
                out.add(x);
            }
        }
        while (out.size() > MOST) {
            int best = 1;
            for (int i = 2; i < out.size(); i++) {
                if (out.get(i).from - out.get(i - 1).to < out.get(best).from - out.get(best - 1).to) {
                    best = i;
                }
            }
            out.set(best - 1, new Span(out.get(best - 1).from, out.get(best).to));
            out.remove(best);
        }
        return out;
    }

    /** A list with those spans made one that no more than gap bytes lie between. */
    static List<Span> near(List<Span> list, long gap) {
        List<Span> out = new ArrayList<>(list.size());
        for (Span s : list) {
            int last = out.size() - 1;
            if (last >= 0 && s.from - out.get(last).to <= gap) {
                out.set(last, new Span(out.get(last).from, s.to));
            } else {
                out.add(s);
            }
        }
        return out;
    }

    /** What of a list lies in none of another's spans. */
    static List<Span> without(List<Span> list, List<Span> taken) {
        List<Span> out = new ArrayList<>();
        for (Span s : list) {
            long from = s.from;
            for (Span t : taken) {
                if (t.to <= from || t.from >= s.to) {
                    continue;
                }
                if (t.from > from) {
                    out.add(new Span(from, t.from));
                }
                from = t.to;
            }
            if (from < s.to) {
                out.add(new Span(from, s.to));
            }
        }
        return out;
    }

    static boolean holds(List<Span> list, long position) {
        for (Span s : list) {
            if (s.from <= position && position < s.to) {
                return true;
            }
        }
        return false;
    }
}
