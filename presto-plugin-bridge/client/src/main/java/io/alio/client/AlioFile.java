package io.alio.client;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;

/** An open file at one version. */
public final class AlioFile implements Closeable {
    private final AlioObject object;

    AlioFile(AlioObject object) {
        this.object = object;
    }

    public AlioObject object() {
        return object;
    }

    public long size() {
        return object.size();
    }

    public int read(long position, byte[] b, int offset, int length, OriginReader fallback) throws IOException {
        throw new UnavailableException(Unavailable.CLOSED, "not written yet");
    }

    public int read(long position, ByteBuffer dst, OriginReader fallback) throws IOException {
        throw new UnavailableException(Unavailable.CLOSED, "not written yet");
    }

    @Override
    public void close() {}
}
