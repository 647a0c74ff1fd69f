package io.alio.client;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.concurrent.atomic.AtomicInteger;

/** An open segment file, and perhaps a mapping of it. It is closed when the last one lets go. */
final class Handle {
    private final Segments owner;
    private final AtomicInteger refs = new AtomicInteger(1); // readers, and one while the segment points to it
    final FileChannel file;
    volatile ByteBuffer mapping; // null: none
    volatile long tryMapping; // when it is tried to map it; Long.MAX_VALUE: never

    Handle(Segments owner, FileChannel file) {
        this.owner = owner;
        this.file = file;
        this.tryMapping = System.nanoTime();
    }

    /** Takes a reference unless it is being closed. */
    boolean acquire() {
        while (true) {
            int n = refs.get();
            if (n <= 0) {
                return false;
            }
            if (refs.compareAndSet(n, n + 1)) {
                return true;
            }
        }
    }

    boolean inUse() {
        return refs.get() > 1;
    }

    /** Lets go. Closing a removed file can take milliseconds, since its blocks are freed then: no reader waits for that. */
    void release() {
        if (refs.decrementAndGet() == 0) {
            owner.closeLater(this);
        }
    }

    /** Lets go where the room is wanted at once. */
    void releaseNow() {
        if (refs.decrementAndGet() == 0) {
            close();
        }
    }

    void close() {
        ByteBuffer m = mapping;
        mapping = null; // the collector unmaps it: a mapping that is still read must not go
        try {
            file.close();
        } catch (IOException e) {
            // it was open for reading only: nothing can be lost
        }
        owner.closed(m == null ? 0 : m.capacity());
    }
}
