package io.alio.hadoop.contract;

import io.alio.hadoop.AlioFileSystem;
import java.io.IOException;
import java.net.URI;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.contract.AbstractFSContract;

/** AlioFileSystem before the local file system, whose files it fills itself, with a sidecar at {@code ALIO_ADDRESS}. */
public class AlioLocalContract extends AbstractFSContract {
    private FileSystem fs;

    public AlioLocalContract(Configuration conf) {
        super(conf);
        for (String option : new String[] {"supports-seek", "rejects-seek-past-eof", "supports-positioned-readable", "supports-strict-exceptions", "supports-available",
            "supports-unix-permissions", "is-case-sensitive", "vector-io-early-eof-check"}) {
            getConf().setBoolean("fs.contract." + option, true);
        }
        getConf().setInt("fs.contract.test.random-seek-count", 500);
    }

    /** The configuration of a bridge at the sidecar of the environment. */
    static Configuration bridged() {
        Configuration c = new Configuration();
        c.set("fs.file.impl", AlioFileSystem.class.getName());
        c.set("alio.address", System.getenv("ALIO_ADDRESS"));
        c.set("alio.directories", System.getenv("ALIO_DIRECTORIES"));
        c.set("alio.control.ms", "2000");
        return c;
    }

    @Override
    public void init() throws IOException {
        super.init();
        bridged().forEach(e -> {
            if (e.getKey().startsWith("alio.") || e.getKey().equals("fs.file.impl")) {
                getConf().set(e.getKey(), e.getValue());
            }
        });
        fs = FileSystem.newInstance(URI.create("file:///"), getConf());
    }

    @Override
    public FileSystem getTestFileSystem() {
        return fs;
    }

    @Override
    public String getScheme() {
        return "file";
    }

    @Override
    public Path getTestPath() {
        return fs.makeQualified(new Path(System.getenv("ALIO_TEST_DIR")));
    }
}
