package io.alio.trino;

import io.airlift.log.Logger;
import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.LongAdder;
import javax.management.JMException;
import javax.management.ObjectName;

/** The counters of a catalog. */
final class Counters implements AlioTrinoMXBean, AutoCloseable {
    private static final Logger LOG = Logger.get(Counters.class);

    final LongAdder opened = new LongAdder();
    final LongAdder bypassed = new LongAdder();
    final LongAdder absent = new LongAdder();
    final LongAdder unmapped = new LongAdder();
    final LongAdder stale = new LongAdder();

    private final String name;

    Counters(String catalog) {
        name = "io.alio:type=Trino,name=" + catalog;
    }

    /** Shows them in JMX. That they cannot be shown is no reason not to read. */
    void register() {
        try {
            ManagementFactory.getPlatformMBeanServer().registerMBean(this, new ObjectName(name));
        } catch (JMException e) {
            LOG.warn(e, "counters cannot be shown as %s", name);
        }
    }

    @Override
    public long getOpenedFiles() {
        return opened.sum();
    }

    @Override
    public long getBypassedFiles() {
        return bypassed.sum();
    }

    @Override
    public long getAbsentFiles() {
        return absent.sum();
    }

    @Override
    public long getUnmappedFiles() {
        return unmapped.sum();
    }

    @Override
    public long getStaleFiles() {
        return stale.sum();
    }

    @Override
    public void close() {
        try {
            ManagementFactory.getPlatformMBeanServer().unregisterMBean(new ObjectName(name));
        } catch (JMException e) {
            LOG.debug(e, "%s was not shown", name);
        }
    }
}
