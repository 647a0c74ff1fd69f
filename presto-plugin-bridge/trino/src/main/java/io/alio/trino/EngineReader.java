package io.alio.trino;

import io.alio.client.AlioObject;
import io.alio.client.OriginReader;
import io.trino.filesystem.TrinoInput;
import io.trino.filesystem.TrinoInputFile;
import java.io.Closeable;
import java.io.IOException;

/**
 * Reads a file by Trino's own file system, with the query's credentials: the way out when the sidecar cannot serve, and the filler of what Trino fills. The file is
 * opened when it is needed. It cannot name the version that it reads, as nothing in Trino can; where Trino's listing told length and time, the version that the sidecar
 * opened was held against them, so two versions could meet in one query only where they could without Alio.
 */
final class EngineReader implements OriginReader, Closeable {
    private final TrinoInputFile file;
    private TrinoInput input;
    private boolean closed;

    EngineReader(TrinoInputFile file) {
        this.file = file;
    }

    @Override
    public void readFully(AlioObject object, long position, byte[] b, int offset, int length) throws IOException {
        input().readFully(position, b, offset, length);
    }

    TrinoInputFile file() {
        return file;
    }

    private synchronized TrinoInput input() throws IOException {
        if (closed) {
            throw new IOException("closed: " + file.location());
        }
        if (input == null) {
            input = file.newInput();
        }
        return input;
    }

    @Override
    public synchronized void close() throws IOException {
        closed = true;
        if (input != null) {
            input.close();
            input = null;
        }
    }
}
