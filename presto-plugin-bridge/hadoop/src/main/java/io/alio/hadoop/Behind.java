package io.alio.hadoop;

import io.alio.client.AlioObject;
import java.io.IOException;
import org.apache.hadoop.fs.FSDataInputStream;

/** One file at the file system behind. All methods may be called in parallel. */
public interface Behind {
    /** What that file system knows of the file now. What it throws, the opening of the file throws: no such file, no permission. */
    Known known() throws IOException;

    /** The same, for the engine to fill the file: with a version, if that can be had at all. */
    default Known forFilling(Known known) throws IOException {
        return known;
    }

    /** Opens the file there. */
    FSDataInputStream open() throws IOException;

    /**
     * Fills b from {@code position}, for a file that was opened as {@code object} at the sidecar.
     *
     * @param in what {@link #open} has opened for it
     * @param at what {@link #known} told when the file was opened at the sidecar
     * @throws io.alio.client.VersionChangedException if the file is another by now: bytes of two versions are never mixed
     */
    void readFully(FSDataInputStream in, Known at, AlioObject object, long position, byte[] b, int offset, int length) throws IOException;
}
