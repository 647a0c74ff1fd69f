package io.alio.presto;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import io.alio.hadoop.Bridge;
import java.nio.file.Paths;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.junit.jupiter.api.Test;

/** The core-site file that is shipped. */
class CoreSiteTest {
    @Test
    void namesWhatThereIs() {
        Configuration c = new Configuration(false);
        c.addResource(new Path(Paths.get("src/main/assembly/core-site.xml").toUri()));
        for (String scheme : new String[] {"s3", "s3a", "s3n"}) {
            assertEquals(AlioS3FileSystem.class.getName(), c.get("fs." + scheme + ".impl"));
        }
        assertEquals(AlioFileSystem.class.getName(), c.get("fs.hdfs.impl"));
        assertNotNull(Bridge.of(c::get).client(), "its settings are good");
    }
}
