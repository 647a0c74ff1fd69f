package io.alio.presto;

import static org.junit.Assert.assertTrue;

import io.alio.hadoop.RandomReads;
import java.lang.management.ManagementFactory;
import javax.management.ObjectName;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.junit.Test;

/** Random reads over S3; the counters tell that they came through the bridge. */
public class RandomReadsIT {
    @Test
    public void readsWhatWasWritten() throws Exception {
        long seed = System.getenv("ALIO_SEED") == null ? System.nanoTime() : Long.parseLong(System.getenv("ALIO_SEED"));
        System.out.println("ALIO_SEED=" + seed);
        try (FileSystem fs = FileSystem.newInstance(AlioS3Contract.bucket(), AlioS3Contract.bridged(new Configuration()))) {
            for (int i = 0; i < 2; i++) { // the second time over the first's name
                RandomReads.compare(fs, new Path("s3://lake/random/file"), (5 << 20) + i * 1000, 200, seed + i);
            }
        }
        ObjectName client = new ObjectName("io.alio:type=Client,name=hadoop");
        long local = (Long) ManagementFactory.getPlatformMBeanServer().getAttribute(client, "LocalBytes");
        long past = (Long) ManagementFactory.getPlatformMBeanServer().getAttribute(client, "BypassedBytes");
        System.out.println("LocalBytes " + local + ", BypassedBytes " + past);
        assertTrue("local " + local + ", bypassed " + past, local > 0 && past == 0);
    }
}
