package io.alio.presto;

import com.facebook.presto.hive.HiveFileContext;
import io.alio.hadoop.Known;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.HadoopExtendedFileSystem;
import org.apache.hadoop.fs.HadoopExtendedFileSystemCache;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.PrestoExtendedFileSystemCache;

/**
 * Presto's cache of file systems, which wraps each of them, with another wrapper for ours. Presto's own opens files by their path alone and drops what the
 * split tells: the file's length and time, by which a version that is older than the listing is seen. With that version, within the sidecar's max_age, a
 * query would read a footer where there is none any more.
 */
final class AlioFileSystemCache extends PrestoExtendedFileSystemCache {
    /** Opens our files with what the split tells of them. */
    private static final class Wrapper extends HadoopExtendedFileSystem {
        private final AlioS3FileSystem s3;

        Wrapper(AlioS3FileSystem s3) {
            super(s3);
            this.s3 = s3;
        }

        @Override
        public FSDataInputStream openFile(Path path, HiveFileContext context) {
            int bufferSize = s3.getConf().getInt("io.file.buffer.size", 4096);
            FSDataInputStream in = s3.open(path, bufferSize, Known.listed(context.getFileSize().orElse(-1), Math.max(0, context.getModificationTime())));
            return new Kept(in.getWrappedStream(), this);
        }
    }

    /** A stream that keeps what Presto's cache looks after: once the collector finds that one, the cache closes the file system in it. */
    private static final class Kept extends FSDataInputStream {
        private final Wrapper owner;

        Kept(InputStream in, Wrapper owner) {
            super(in);
            this.owner = owner;
        }

        @Override
        public String toString() {
            return super.toString() + " of " + owner.s3.getUri();
        }
    }

    @Override
    protected FileSystem createPrestoFileSystemWrapper(FileSystem original) {
        return original instanceof AlioS3FileSystem ? new Wrapper((AlioS3FileSystem) original) : super.createPrestoFileSystemWrapper(original);
    }

    /**
     * Puts such a cache in the place of Presto's, as that was put in the place of Hadoop's: into a static final field, before any file system is used. If that
     * does not go, files are opened by their paths alone.
     */
    static synchronized void install() {
        try {
            HadoopExtendedFileSystemCache.initialize();
            Field cache = FileSystem.class.getDeclaredField("CACHE");
            cache.setAccessible(true);
            if (cache.get(null).getClass() != PrestoExtendedFileSystemCache.class) {
                return; // ours already, or somebody else's
            }
            Class<?> c = Class.forName("sun.misc.Unsafe"); // by reflection: it is none of Java 8's documented classes, and in every Java since
            Field the = c.getDeclaredField("theUnsafe");
            the.setAccessible(true);
            Object unsafe = the.get(null);
            Object base = c.getMethod("staticFieldBase", Field.class).invoke(unsafe, cache);
            Object offset = c.getMethod("staticFieldOffset", Field.class).invoke(unsafe, cache);
            c.getMethod("putObjectVolatile", Object.class, long.class, Object.class).invoke(unsafe, base, offset, new AlioFileSystemCache());
        } catch (ReflectiveOperationException | RuntimeException | LinkageError e) {
            Logger.getLogger("io.alio.presto").log(Level.WARNING, "alio: this release of Presto opens files by their paths alone: within the sidecar's max_age a"
                    + " file that was overwritten in place may be read at its old version (set max_age 0 for such tables, or use alio-hive)", e);
        }
    }
}
