package io.alio.client;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.logging.Level;
import java.util.logging.Logger;

/** Rare sentences: of each kind at most one a minute. */
final class Warnings {
    private static final long PAUSE = 60_000_000_000L;

    private final Consumer<String> to;
    private final Map<String, Long> last = new ConcurrentHashMap<>();

    Warnings(Consumer<String> to) {
        Logger log = Logger.getLogger("io.alio.client");
        this.to = to != null ? to : text -> log.log(Level.WARNING, text);
    }

    void warn(String kind, String text) {
        long now = System.nanoTime();
        boolean[] say = {false};
        last.compute(kind, (k, before) -> {
            say[0] = before == null || now - before >= PAUSE;
            return say[0] ? now : before;
        });
        if (say[0]) {
            try {
                to.accept("alio: " + text);
            } catch (RuntimeException e) {
                Logger.getLogger("io.alio.client").log(Level.WARNING, "the taker of warnings fails", e);
            }
        }
    }
}
