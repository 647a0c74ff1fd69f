package io.alio.client;

import io.alio.client.segment.Format;
import java.nio.file.Path;
import java.util.Objects;

/** A segment file that views point to. It is one for its name, so that retiring it retires it in every view. */
final class Segment {
    /** Names a segment; it is never used again. */
    static final class Name {
        final Directory directory;
        final long instance;
        final long seq;

        Name(Directory directory, long instance, long seq) {
            this.directory = directory;
            this.instance = instance;
            this.seq = seq;
        }

        Path file() {
            return directory.segments().resolve(Format.name(instance, seq));
        }

        @Override
        public boolean equals(Object o) {
            return o instanceof Name && ((Name) o).directory == directory && ((Name) o).instance == instance && ((Name) o).seq == seq;
        }

        @Override
        public int hashCode() {
            return Objects.hash(System.identityHashCode(directory), instance, seq);
        }
    }

    final Name name;
    volatile boolean retired; // its places are void
    volatile Handle handle; // null: not open
    volatile boolean used; // since the clock's hand last passed

    boolean opening; // under the lock of Segments
    Outcome failed; // of the last attempt to open it, under the lock of Segments; null: none

    Segment(Name name) {
        this.name = name;
    }
}
