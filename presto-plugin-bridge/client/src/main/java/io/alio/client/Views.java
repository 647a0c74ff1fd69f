package io.alio.client;

import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The objects that are remembered, within bounds of number and memory; the one used longest ago goes first. */
final class Views {
    private final int most;
    private final long memory;
    private final Map<View.Key, View> byKey = new LinkedHashMap<>(64, 0.75f, true);
    private long used;

    Views(int most, long memory) {
        this.most = most;
        this.memory = memory;
    }

    /** How much memory one object's table may take: half of it. */
    long tableLimit() {
        return memory / 2;
    }

    /** The view of a key if it may be used without asking; else null. */
    synchronized View fresh(View.Key key, String etag) {
        View v = byKey.get(key);
        return v != null && v.serves(etag) ? v : null;
    }

    /**
     * Remembers what was told of an object. If it is the version that is known, that view is brought up to date and returned, so that all who have it open
     * share it. spans are those that were told of.
     */
    synchronized View put(View told, List<Span> spans) {
        View v = byKey.get(told.key);
        if (v != null) {
            boolean same = v.object.version().equals(told.object.version()) && v.object.size() == told.object.size();
            if (same && !v.object.version().isEmpty() && !v.changed) {
                v.update(told.table, spans, tableLimit());
                v.confirm(told);
                charge(v);
                trim();
                return v;
            }
            remove(v);
        }
        if (told.table.bytes() > tableLimit()) {
            told.table = PageTable.EMPTY.merged(told.table, Collections.emptyList(), tableLimit());
        }
        byKey.put(told.key, told);
        charge(told);
        trim();
        return told;
    }

    /** Charges a view anew whose table has changed. */
    synchronized void refreshed(View v) {
        if (byKey.get(v.key) == v) {
            charge(v);
            trim();
        }
    }

    /** Forgets a view, whose version is not the present one any more. Files that have it open keep it. */
    synchronized void drop(View v) {
        if (byKey.get(v.key) == v) {
            remove(v);
        }
    }

    /** Forgets what is known of a path, or of all paths that begin so. */
    synchronized void invalidate(String mount, String path, boolean prefix) {
        for (Iterator<View> i = byKey.values().iterator(); i.hasNext(); ) {
            View v = i.next();
            if (v.key.mount.equals(mount) && (prefix ? v.key.path.startsWith(path) : v.key.path.equals(path))) {
                i.remove();
                used -= v.charged;
                v.charged = 0;
            }
        }
    }

    synchronized int count() {
        return byKey.size();
    }

    synchronized long bytes() {
        return used;
    }

    private void charge(View v) {
        long n = v.bytes();
        used += n - v.charged;
        v.charged = n;
    }

    private void trim() {
        for (Iterator<View> i = byKey.values().iterator(); byKey.size() > 1 && (used > memory || byKey.size() > most); ) {
            View v = i.next();
            i.remove();
            used -= v.charged;
            v.charged = 0;
        }
    }

    private void remove(View v) {
        byKey.remove(v.key);
        used -= v.charged;
        v.charged = 0;
    }
}
