package io.alio.hadoop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.net.URI;
import java.util.Arrays;
import java.util.Collections;
import org.junit.jupiter.api.Test;

class MountsTest {
    private static final Mounts SOME = Mounts.parse(Arrays.asList("warehouse=hdfs://ns/warehouse", "old=hdfs://ns/warehouse/old/", "all=hdfs://other:8020", "mine=s3://raw"));

    private static String find(Mounts m, String uri) {
        Mounts.Place p = m.find(URI.create(uri));
        return p == null ? null : p.mount + " " + p.path;
    }

    @Test
    void theLongestThatFitsHoldsAFile() {
        assertEquals("warehouse t/part-0", find(SOME, "hdfs://ns/warehouse/t/part-0"));
        assertEquals("old t/part-0", find(SOME, "hdfs://ns/warehouse/old/t/part-0"));
        assertEquals("warehouse older/t", find(SOME, "hdfs://ns/warehouse/older/t"));
        assertEquals("all a", find(SOME, "hdfs://other:8020/a"));
        assertNull(find(SOME, "hdfs://ns/elsewhere/t"), "HDFS without a mount");
        assertNull(find(SOME, "hdfs://other/a"), "another authority");
    }

    @Test
    void aBucketIsAMountOfItsNameUnlessSaidOtherwise() {
        for (String scheme : new String[] {"s3", "s3a", "s3n"}) {
            assertEquals("lake a/b", find(SOME, scheme + "://lake/a/b"));
            assertEquals("mine a", find(SOME, scheme + "://raw/a"), "named for s3, and s3a is the same store");
        }
        assertEquals("under_score a", find(SOME, "s3://under_score/a"), "no host name");
        assertNull(find(SOME, "s3://lake/folder/"), "a folder");
        assertNull(find(SOME, "s3://lake"), "a bucket");
        assertNull(find(SOME, "file:///a"), "no store");
    }

    @Test
    void whatIsNoMountIsNamed() {
        for (String bad : new String[] {"hdfs://ns/x", "=hdfs://ns/x", "a=/x", "a=mailto:x", "a=hdfs://n s/"}) {
            String message = assertThrows(IllegalArgumentException.class, () -> Mounts.parse(Collections.singletonList(bad)), bad).getMessage();
            assertEquals(true, message.contains(bad), message);
        }
    }
}
