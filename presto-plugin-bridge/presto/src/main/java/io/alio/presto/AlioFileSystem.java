package io.alio.presto;

import io.alio.hadoop.Behind;
import io.alio.hadoop.BridgedFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DistributedFileSystem;

/** Stands before any file system but S3's: {@code fs.hdfs.impl} in core-site.xml. On HDFS a file's version is its list of blocks. */
public class AlioFileSystem extends BridgedFileSystem {
    @Override
    protected Behind behind(Path path, int bufferSize) {
        Behind plain = super.behind(path, bufferSize);
        return fs instanceof DistributedFileSystem ? new HdfsFile((DistributedFileSystem) fs, path, plain) : plain;
    }
}
