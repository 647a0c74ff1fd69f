package io.alio.presto;

import java.io.IOException;
import java.net.URI;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.contract.AbstractFSContract;

/** AlioS3FileSystem at the S3 server and the sidecar of the environment. */
public class AlioS3Contract extends AbstractFSContract {
    private FileSystem fs;

    public AlioS3Contract(Configuration conf) {
        super(conf);
        for (String option : new String[] {"supports-seek", "rejects-seek-past-eof", "is-case-sensitive", "is-blobstore"}) {
            getConf().setBoolean("fs.contract." + option, true);
        }
        getConf().setInt("fs.contract.test.random-seek-count", 300);
    }

    /** The configuration of Presto's S3 file system with the bridge. */
    static Configuration bridged(Configuration c) {
        c.set("fs.s3.impl", AlioS3FileSystem.class.getName());
        c.set("hive.s3.endpoint", System.getenv("ALIO_S3_ENDPOINT"));
        c.set("hive.s3.aws-access-key", System.getenv("ALIO_S3_ACCESS"));
        c.set("hive.s3.aws-secret-key", System.getenv("ALIO_S3_SECRET"));
        c.set("hive.s3.path-style-access", "true");
        c.set("hive.s3.ssl.enabled", "false");
        c.set("hive.s3.staging-directory", System.getenv("ALIO_TEST_DIR"));
        c.set("alio.address", System.getenv("ALIO_ADDRESS"));
        c.set("alio.directories", System.getenv("ALIO_DIRECTORIES"));
        c.set("alio.fill", System.getenv("ALIO_FILL"));
        c.set("alio.control.ms", "2000");
        return c;
    }

    static URI bucket() {
        return URI.create("s3://lake/");
    }

    @Override
    public void init() throws IOException {
        super.init();
        fs = FileSystem.newInstance(bucket(), bridged(getConf()));
    }

    @Override
    public FileSystem getTestFileSystem() {
        return fs;
    }

    @Override
    public String getScheme() {
        return "s3";
    }

    @Override
    public Path getTestPath() {
        return new Path("s3://lake/contract");
    }
}
