package io.alio.hadoop;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.logging.Logger;

/** Rare sentences: of each kind at most one a minute. What they tell of is counted each time. */
final class Warnings {
    private static final Logger LOG = Logger.getLogger("io.alio.hadoop");
    private static final long PAUSE = 60_000_000_000L;

    private final Map<String, Long> last = new ConcurrentHashMap<>();

    void warn(String kind, String text) {
        long now = System.nanoTime();
        boolean[] say = {false};
        last.compute(kind, (k, before) -> {
            say[0] = before == null || now - before >= PAUSE;
            return say[0] ? now : before;
        });
        if (say[0]) {
            LOG.warning("alio: " + text);
        }
    }
}
