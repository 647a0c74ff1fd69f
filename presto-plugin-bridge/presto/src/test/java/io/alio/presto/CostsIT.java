package io.alio.presto;

import com.facebook.presto.hive.s3.HiveS3Config;
import com.facebook.presto.hive.s3.PrestoS3ConfigurationUpdater;
import java.io.Closeable;
import java.util.ArrayList;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.junit.Test;

/** Prints what a file system and an open file cost, Presto's own and ours: no test, but docs/presto.md quotes it. */
public class CostsIT {
    private static final int FILES = 2_000;

    private static long heap() throws InterruptedException {
        for (int i = 0; i < 3; i++) {
            System.gc();
            Thread.sleep(50);
        }
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    private static FileSystem start(String what, Configuration c) throws Exception {
        long begun = System.nanoTime();
        FileSystem fs = FileSystem.newInstance(AlioS3Contract.bucket(), c);
        System.out.printf("%s: a file system in %.0f ms%n", what, (System.nanoTime() - begun) / 1e6);
        return fs;
    }

    private static void files(String what, FileSystem fs, Path file) throws Exception {
        byte[] b = new byte[16_384];
        List<Closeable> open = new ArrayList<>();
        long before = heap();
        for (int i = 0; i < FILES; i++) {
            FSDataInputStream in = fs.open(file);
            if (i % 100 == 0) {
                in.readFully(0, b);
            }
            open.add(in);
        }
        System.out.printf("%s: %d bytes of heap for an open file%n", what, (heap() - before) / FILES);
        for (Closeable c : open) {
            c.close();
        }
    }

    /** What Presto makes of a catalog's settings. */
    private static Configuration stock(Configuration c) {
        Configuration stock = new Configuration(c);
        new PrestoS3ConfigurationUpdater(new HiveS3Config().setS3Endpoint(c.get("hive.s3.endpoint")).setS3AwsAccessKey(c.get("hive.s3.aws-access-key"))
                .setS3AwsSecretKey(c.get("hive.s3.aws-secret-key")).setS3PathStyleAccess(true).setS3SslEnabled(false)).updateConfiguration(stock);
        return stock;
    }

    @Test
    public void print() throws Exception {
        Configuration c = AlioS3Contract.bridged(new Configuration());
        Path file = new Path("s3://lake/costs/file");
        try (FileSystem ours = start("alio, first in the process", c); FileSystem again = start("alio, second", c)) {
            try (FSDataOutputStream out = ours.create(file, true)) {
                out.write(new byte[1 << 20]);
            }
            files("alio", ours, file);
            try (FileSystem theirs = start("presto", stock(again.getConf()))) {
                files("presto", theirs, file);
            }
        }
    }
}
