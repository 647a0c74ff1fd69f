package io.alio.client;

import io.alio.client.ring.Ring;
import java.util.concurrent.atomic.LongAccumulator;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Supplier;

/** The numbers of {@link AffinityMetrics}. */
final class AffinityCounters implements AffinityMXBean {
    final LongAdder asked = new LongAdder();
    final LongAdder watched = new LongAdder();
    final LongAdder left = new LongAdder();
    final LongAdder missing = new LongAdder();
    final LongAdder batches = new LongAdder();
    final LongAdder epochs = new LongAdder();
    final LongAccumulator slowest = new LongAccumulator(Math::max, 0); // nanoseconds
    final Counters calls = new Counters();
    Supplier<Ring> ring = () -> null;

    @Override
    public long getAskedSplits() {
        return asked.sum();
    }

    @Override
    public long getWatchedSplits() {
        return watched.sum();
    }

    @Override
    public long getLeftSplits() {
        return left.sum();
    }

    @Override
    public long getMissingWorkers() {
        return missing.sum();
    }

    @Override
    public long getBatches() {
        return batches.sum();
    }

    @Override
    public long getSlowestMicros() {
        return slowest.get() / 1000;
    }

    @Override
    public long getAnsweredCalls() {
        return calls.getAnsweredCalls();
    }

    @Override
    public long getRefusedCalls() {
        return calls.getRefusedCalls();
    }

    @Override
    public long getLateCalls() {
        return calls.getLateCalls();
    }

    @Override
    public long getUnreachedCalls() {
        return calls.getUnreachedCalls();
    }

    @Override
    public long getNotTriedCalls() {
        return calls.getNotTriedCalls();
    }

    @Override
    public long getSenselessAnswers() {
        return calls.getSenselessAnswers();
    }

    @Override
    public long getEpoch() {
        Ring r = ring.get();
        return r == null ? 0 : r.number();
    }

    @Override
    public long getEpochs() {
        return epochs.sum();
    }

    @Override
    public long getMembers() {
        Ring r = ring.get();
        return r == null ? 0 : r.members().size();
    }

    @Override
    public long getBreakerOpen() {
        return calls.getBreakerOpen();
    }
}
