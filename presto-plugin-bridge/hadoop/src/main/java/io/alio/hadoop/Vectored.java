package io.alio.hadoop;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntFunction;
import org.apache.hadoop.fs.FileRange;

/**
 * Vectored reads as Hadoop 3.3.5 and later define them. Each range is read straight into its own buffer: a range that is cached costs microseconds, and
 * ranges that are not are neighbours in the sidecar's pages, so nothing is won by joining them here.
 */
final class Vectored {
    private Vectored() {
    }

    static void read(AlioInputStream in, long size, List<? extends FileRange> ranges, IntFunction<ByteBuffer> allocate) throws EOFException {
        Objects.requireNonNull(allocate, "allocate");
        List<FileRange> sorted = sorted(ranges, size);
        for (FileRange r : sorted) {
            CompletableFuture<ByteBuffer> done = new CompletableFuture<>();
            r.setData(done);
            try {
                ByteBuffer b = allocate.apply(r.getLength());
                ByteBuffer into = b.duplicate();
                into.limit(into.position() + r.getLength());
                for (long pos = r.getOffset(); into.hasRemaining(); ) {
                    int n = in.readAt(pos, into);
                    if (n <= 0) {
                        throw new EOFException("the file ends before " + (r.getOffset() + r.getLength()));
                    }
                    pos += n;
                }
                ByteBuffer answer = b.duplicate();
                answer.limit(answer.position() + r.getLength());
                done.complete(answer);
            } catch (IOException | RuntimeException e) {
                done.completeExceptionally(e);
            }
        }
    }

    private static List<FileRange> sorted(List<? extends FileRange> ranges, long size) throws EOFException {
        List<FileRange> out = new ArrayList<>(ranges);
        for (FileRange r : out) {
            Objects.requireNonNull(r, "range");
            if (r.getOffset() < 0 || size >= 0 && r.getOffset() + r.getLength() > size) {
                throw new EOFException(r + " is not within the file of " + size + " bytes");
            }
            if (r.getLength() < 0) {
                throw new IllegalArgumentException(r + " has a negative length");
            }
        }
        out.sort(Comparator.comparingLong(FileRange::getOffset));
        for (int i = 1; i < out.size(); i++) {
            if (out.get(i).getOffset() < out.get(i - 1).getOffset() + out.get(i - 1).getLength()) {
                throw new IllegalArgumentException(out.get(i - 1) + " and " + out.get(i) + " overlap");
            }
        }
        return out;
    }
}
