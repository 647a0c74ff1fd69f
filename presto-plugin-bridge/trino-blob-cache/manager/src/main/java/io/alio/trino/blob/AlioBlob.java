package io.alio.trino.blob;

import io.alio.client.AlioFile;
import io.trino.spi.cache.Blob;
import io.trino.spi.cache.BlobSource;
import java.io.EOFException;
import java.io.IOException;
import java.util.Objects;

/** A file whose missing pages are read from its source, which it owns. */
final class AlioBlob implements Blob {
    private final AlioFile file;
    private final BlobSource source;

    AlioBlob(AlioFile file, BlobSource source) {
        this.file = file;
        this.source = source;
    }

    @Override
    public long length() {
        return file.size();
    }

    @Override
    public void readFully(long position, byte[] buffer, int offset, int length) throws IOException {
        Objects.checkFromIndexSize(offset, length, buffer.length);
        if (position < 0 || length > file.size() - position) {
            throw new EOFException("cannot read " + length + " bytes at " + position + " of " + file);
        }
        if (length > 0) {
            file.read(position, buffer, offset, length, null);
        }
    }

    @Override
    public void close() throws IOException {
        file.close();
        source.close();
    }
}
