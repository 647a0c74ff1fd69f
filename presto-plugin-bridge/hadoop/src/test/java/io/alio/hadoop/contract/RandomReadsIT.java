package io.alio.hadoop.contract;

import static org.junit.Assert.assertTrue;

import io.alio.hadoop.RandomReads;
import java.lang.management.ManagementFactory;
import java.net.URI;
import javax.management.ObjectName;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.junit.Test;

/** Random reads over local files, whose pages are filled as they are read; the counters tell that they came through the bridge. */
public class RandomReadsIT {
    @Test
    public void readsWhatWasWritten() throws Exception {
        long seed = System.getenv("ALIO_SEED") == null ? System.nanoTime() : Long.parseLong(System.getenv("ALIO_SEED"));
        System.out.println("ALIO_SEED=" + seed);
        try (FileSystem fs = FileSystem.newInstance(URI.create("file:///"), AlioLocalContract.bridged())) {
            RandomReads.compare(fs, new Path(System.getenv("ALIO_TEST_DIR"), "random"), 5 << 20, 300, seed);
        }
        for (String attribute : new String[] {"LocalBytes", "StoredPages"}) {
            Object n = ManagementFactory.getPlatformMBeanServer().getAttribute(new ObjectName("io.alio:type=Client,name=hadoop"), attribute);
            System.out.println(attribute + " " + n);
            assertTrue(attribute, (Long) n > 0);
        }
    }
}
