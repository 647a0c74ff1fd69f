package io.alio.hadoop;

import java.util.concurrent.atomic.LongAdder;

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
    final LongAdder namesAnswered = new LongAdder();
    final LongAdder namesBypassed = new LongAdder();

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

    @Override
    public long getNamesAnswered() {
        return namesAnswered.sum();
    }

    @Override
    public long getNamesBypassed() {
        return namesBypassed.sum();
    }
}
