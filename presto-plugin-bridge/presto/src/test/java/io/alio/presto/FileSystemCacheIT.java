package io.alio.presto;

import static org.junit.Assert.assertSame;

import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.junit.Test;

/** Presto's cache of file systems keeps ours: whoever asks with the engine's configuration gets the same one. It must run after all others, since it replaces Hadoop's cache. */
public class FileSystemCacheIT {
    @Test
    public void aFileSystemIsMadeOnce() throws Exception {
        AlioFileSystemCache.install();
        Configuration engines = AlioS3Contract.bridged(new Configuration());
        FileSystem fs = FileSystem.get(AlioS3Contract.bucket(), engines);
        assertSame("the same configuration", fs, FileSystem.get(AlioS3Contract.bucket(), engines));
        assertSame("another view of it", fs, FileSystem.get(AlioS3Contract.bucket(), new Configuration(engines)));
        assertSame("the file system's own", fs, FileSystem.get(AlioS3Contract.bucket(), new Configuration(fs.getConf())));
        Path file = new Path("s3://lake/cache/file");
        try (FSDataOutputStream out = fs.create(file, true)) {
            out.write("word".getBytes(StandardCharsets.UTF_8));
        }
        try (FSDataInputStream in = fs.open(file)) {
            assertSame("it reads", (int) 'w', in.read());
        }
    }
}
