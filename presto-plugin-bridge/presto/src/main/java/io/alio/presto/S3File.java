package io.alio.presto;

import io.alio.client.AlioObject;
import io.alio.hadoop.Behind;
import io.alio.hadoop.Known;
import java.io.IOException;
import java.util.function.Supplier;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.Path;

/**
 * A file on S3. What opens it knows its ETag only if alio-hive made the split, else at best the length and the time of a listing; then its version is the
 * sidecar's to find, or costs a HEAD where the engine fills.
 */
final class S3File implements Behind {
    private final Path path;
    private final S3Versions versions;
    private final Known listed;
    private final Supplier<FSDataInputStream> open;

    S3File(Path path, S3Versions versions, Known listed, Supplier<FSDataInputStream> open) {
        this.path = path;
        this.versions = versions;
        this.listed = listed;
        this.open = open;
    }

    @Override
    public Known known() {
        Known carried = Carried.of(path.toUri());
        return carried.is("") ? listed : carried;
    }

    @Override
    public Known forFilling(Known known) throws IOException {
        return known.is("") ? versions.head(path) : known;
    }

    @Override
    public FSDataInputStream open() {
        return open.get();
    }

    @Override
    public void readFully(FSDataInputStream in, Known at, AlioObject object, long position, byte[] b, int offset, int length) throws IOException {
        String etag = object.etag().isEmpty() ? at.etag() : object.etag();
        versions.during(etag, path, () -> in.readFully(position, b, offset, length));
    }
}
