package io.alio.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.alio.client.transport.ProtocolException;
import io.alio.client.wire.Replies;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/** Every check that docs/protocol.md demands of an answer refuses the whole answer of that file. */
class DecodedTest {
    private static final int SIZE = 1000;

    /** A file of ten pages of 100 bytes; the first and the fourth are placed, the second is in memory. */
    private static Replies.OpenedFile good() {
        Replies.OpenedFile f = new Replies.OpenedFile();
        f.object = new Replies.ObjectInfo();
        f.object.version = "v";
        f.object.size = SIZE;
        Replies.Part p = new Replies.Part();
        p.length = SIZE;
        p.key = new byte[16];
        f.parts.add(p);
        Replies.Extent e = new Replies.Extent();
        e.lengths = new int[] {100};
        e.counts = new int[] {10};
        e.classes = new byte[1];
        e.placed = new int[] {0, 3};
        e.segments = new int[] {0, 0};
        e.records = new int[] {1, 5};
        e.memory = new int[] {1};
        f.extents.add(e);
        return f;
    }

    private static Decoded decode(Replies.OpenedFile f) throws ProtocolException {
        return new Decoded(f, "lake", new Segment[] {new Segment(new Segment.Name(null, 1, 1))});
    }

    private static void refused(String why, Consumer<Replies.OpenedFile> change) {
        Replies.OpenedFile f = good();
        change.accept(f);
        assertThrows(ProtocolException.class, () -> decode(f), why);
    }

    private static Replies.Extent extent(Replies.OpenedFile f) {
        return f.extents.get(0);
    }

    @Test
    void whatMakesSenseIsTaken() throws ProtocolException {
        Decoded d = decode(good());
        assertEquals(2, d.table.count);
        assertEquals(300, d.table.offset(1));
        assertEquals(SIZE, d.settled);
        assertEquals(100, d.memory.get(0).from);
    }

    @Test
    void whatMakesNoSenseIsRefused() {
        refused("no object", f -> f.object = null);
        refused("negative size", f -> f.object.size = -1);
        refused("freshness", f -> f.freshForMicros = -2);
        refused("page of 0 bytes", f -> extent(f).lengths[0] = 0);
        refused("page of over a mebibyte", f -> extent(f).lengths[0] = (1 << 20) + 1);
        refused("pages beyond the object", f -> extent(f).counts[0] = 11);
        refused("so many pages that their bytes overflow", f -> extent(f).counts[0] = -1);
        refused("extent beyond the object", f -> extent(f).offset = SIZE + 1);
        refused("extent before the object", f -> extent(f).offset = -100);
        refused("overlapping extents", f -> f.extents.add(extent(good())));
        refused("lists of runs of different length", f -> extent(f).counts = new int[] {5, 5});
        refused("classes", f -> extent(f).classes = new byte[2]);
        refused("lists of places of different length", f -> extent(f).records = new int[] {1});
        refused("segments", f -> extent(f).segments = new int[] {0});
        refused("a placed page twice", f -> extent(f).placed = new int[] {3, 0});
        refused("a page in memory twice", f -> extent(f).memory = new int[] {1, 0});
        refused("a page in no run", f -> extent(f).memory = new int[] {10});
        refused("record 0", f -> extent(f).records[0] = 0);
        refused("a segment that is not named", f -> extent(f).segments[0] = 1);
        refused("a page across parts", f -> {
            f.parts.get(0).length = 350;
            Replies.Part more = new Replies.Part();
            more.offset = 350;
            more.length = SIZE - 350;
            more.key = new byte[16];
            f.parts.add(more);
        });
        refused("a placed page of a part that is still being written", f -> f.parts.get(0).key = new byte[0]);
        refused("a part with a key behind one without", f -> {
            f.parts.get(0).key = new byte[0];
            f.parts.get(0).length = 400;
            Replies.Part more = new Replies.Part();
            more.offset = 400;
            more.length = SIZE - 400;
            more.key = new byte[16];
            f.parts.add(more);
            f.extents.clear();
        });
        refused("a key of 15 bytes", f -> f.parts.get(0).key = new byte[15]);
        refused("parts that end early", f -> f.parts.get(0).length = SIZE - 1);
        refused("a part that begins late", f -> f.parts.get(0).offset = 1);
    }
}
