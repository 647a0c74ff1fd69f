package io.alio.trino;

import io.trino.filesystem.Location;
import io.trino.filesystem.TrinoInputFile;
import java.io.IOException;
import java.time.Instant;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What a connector knows of the files that it opens, without asking its file system. {@link TrinoInputFile} does not tell: asked for what it was not given, it sends a
 * HEAD. So this says what Trino 476 gives (read in its sources): Hive, the length and time of a listing with every Parquet and ORC file; Delta Lake,
 * Hudi and Iceberg, the length that their log or manifests tell; none of them anything with what they read as a stream, but for Iceberg's manifests.
 */
enum TableFormat {
    HIVE {
        @Override
        Known known(TrinoInputFile file, boolean stream) throws IOException {
            return stream ? Known.NOTHING : new Known(OptionalLong.of(file.length()), Optional.of(file.lastModified()), false);
        }
    },
    DELTA_LAKE {
        @Override
        Known known(TrinoInputFile file, boolean stream) throws IOException {
            String path = file.location().path();
            // Deletion vectors are opened without a length, and files of the log have names that a table of the same name would use again. Trino's own data files have no suffix.
            return stream || isLog(path) || path.endsWith(".bin") ? Known.NOTHING : Known.writtenOnce(file.length());
        }

        /** The next commit: Trino asks for it to find out whether it is there. */
        @Override
        boolean mayBeAbsent(Location location) {
            return isLog(location.path());
        }

        private boolean isLog(String path) {
            return path.contains("/_delta_log/");
        }
    },
    HUDI {
        @Override
        Known known(TrinoInputFile file, boolean stream) throws IOException {
            return stream || file.location().path().contains("/.hoodie/") ? Known.NOTHING : Known.writtenOnce(file.length());
        }
    },
    ICEBERG {
        @Override
        Known known(TrinoInputFile file, boolean stream) throws IOException {
            return stream ? Known.NOTHING : Known.writtenOnce(file.length());
        }
    };

    /**
     * @param modified by the origin's clock; on S3 a listing tells it more precisely than the object does
     * @param writtenOnce whether path and length name the content, since the format never uses a data file's name again
     */
    record Known(OptionalLong length, Optional<Instant> modified, boolean writtenOnce) {
        static final Known NOTHING = new Known(OptionalLong.empty(), Optional.empty(), false);

        static Known writtenOnce(long length) {
            return new Known(OptionalLong.of(length), Optional.empty(), true);
        }
    }

    /** What is known of a file that is opened as a stream, or as an input. */
    abstract Known known(TrinoInputFile file, boolean stream) throws IOException;

    /** Whether the connector asks for a file that nothing has told it of, so that its absence is an answer. Elsewhere it is a fault, which Trino is to find by itself. */
    boolean mayBeAbsent(Location location) {
        return false;
    }
}
