package io.alio.hadoop;

import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.LongAdder;
import java.util.logging.Level;
import java.util.logging.Logger;
import javax.management.JMException;
import javax.management.MBeanServer;
import javax.management.ObjectName;

/** The numbers of {@link BridgeMXBean}. */
final class Counters implements BridgeMXBean {
    final LongAdder opened = new LongAdder();
    final LongAdder bypassed = new LongAdder();
    final LongAdder passed = new LongAdder();
    final LongAdder changed = new LongAdder();
    final LongAdder confirmed = new LongAdder();
    final LongAdder readBytes = new LongAdder();
    final LongAdder bypassedBytes = new LongAdder();
    final LongAdder bypassedReads = new LongAdder();

    /** Registers the counters under a name that is free; without, they count unseen. */
    void register(String wanted) {
        MBeanServer server = ManagementFactory.getPlatformMBeanServer();
        try {
            String name = wanted;
            for (int i = 2; server.isRegistered(new ObjectName("io.alio:type=FileSystem,name=" + name)); i++) {
                name = wanted + "-" + i;
            }
            server.registerMBean(this, new ObjectName("io.alio:type=FileSystem,name=" + name));
        } catch (JMException e) {
            Logger.getLogger("io.alio.hadoop").log(Level.WARNING, "alio: the bridge's counters are not in JMX", e);
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
    public long getPassedFiles() {
        return passed.sum();
    }

    @Override
    public long getChangedFiles() {
        return changed.sum();
    }

    @Override
    public long getConfirmedFiles() {
        return confirmed.sum();
    }

    @Override
    public long getReadBytes() {
        return readBytes.sum();
    }

    @Override
    public long getBypassedBytes() {
        return bypassedBytes.sum();
    }

    @Override
    public long getBypassedReads() {
        return bypassedReads.sum();
    }
}
