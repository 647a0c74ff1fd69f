package io.alio.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import javax.management.ObjectName;
import org.junit.jupiter.api.Test;

/** Clients of one process that ask for one JMX name. */
class BeansTest {
    private final List<String> warned = new ArrayList<>();

    private AlioClient client(String name) {
        return AlioClient.create(AlioOptions.of("/no/such.sock").jmxName(name).warnings(warned::add));
    }

    private static void counts(AlioClient... clients) { // each its own
        for (AlioClient c : clients) {
            assertEquals(0, c.metrics().getOpenedFiles());
        }
    }

    private static boolean shown(String name) throws Exception {
        return ManagementFactory.getPlatformMBeanServer().isRegistered(new ObjectName("io.alio:type=Client,name=" + name));
    }

    @Test
    void aTakenNameIsNumberedAndSaid() throws Exception {
        try (AlioClient one = client("twice")) {
            assertTrue(shown("twice"));
            counts(one);
            assertEquals(0, warned.size(), warned.toString());
            try (AlioClient two = client("twice"); AlioClient three = client("twice")) {
                counts(two, three);
                assertTrue(shown("twice-2") && shown("twice-3"), "the second and the third are shown under numbered names");
                assertEquals(2, warned.size(), warned.toString());
                assertTrue(warned.get(0).contains("io.alio:type=Client,name=twice is taken") && warned.get(0).contains("name=twice-2"), warned.get(0));
            }
            assertTrue(!shown("twice-2") && !shown("twice-3") && shown("twice"), "a client that is closed takes its own name away and no other");
        }
        try (AlioClient again = client("twice")) {
            counts(again);
            assertTrue(shown("twice"), "a name is free again when its client is closed");
            assertEquals(2, warned.size(), warned.toString());
        }
    }

    @Test
    void aNameOfAnyCharactersIsQuoted() throws Exception {
        try (AlioClient one = client("a,b=*\"c"); AlioClient two = client("a,b=*\"c")) {
            counts(one, two);
            assertTrue(shown(ObjectName.quote("a,b=*\"c")) && shown(ObjectName.quote("a,b=*\"c-2")));
        }
    }
}
