package io.alio.client;

import io.alio.client.segment.Crc32c;
import java.lang.reflect.Method;

/** Reaches the sum for Java 8. */
final class Software {
    private Software() {}

    static Crc32c crc() {
        try {
            Method m = Crc32c.class.getDeclaredMethod("software");
            m.setAccessible(true);
            return (Crc32c) m.invoke(null);
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }
}
