package io.alio.client;

import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongSupplier;

/** The metrics. */
final class Counters implements AlioClientMXBean {
    final LongAdder localBytes = new LongAdder();
    final LongAdder sidecarBytes = new LongAdder();
    final LongAdder bypassedBytes = new LongAdder();
    final LongAdder filledBytes = new LongAdder();
    final LongAdder sidecarReads = new LongAdder();
    final LongAdder bypassedReads = new LongAdder();
    final LongAdder openedFiles = new LongAdder();
    final LongAdder bypassedOpens = new LongAdder();
    final LongAdder answered = new LongAdder();
    final LongAdder refused = new LongAdder();
    final LongAdder late = new LongAdder();
    final LongAdder unreached = new LongAdder();
    final LongAdder notTried = new LongAdder();
    final LongAdder questions = new LongAdder();
    final LongAdder senseless = new LongAdder();
    final LongAdder retiredSegments = new LongAdder();
    final LongAdder forgets = new LongAdder();
    final LongAdder touched = new LongAdder();
    final LongAdder stored = new LongAdder();
    final LongAdder dropped = new LongAdder();
    private final LongAdder[] pages = new LongAdder[Outcome.values().length];

    LongSupplier openSegments = () -> 0;
    LongSupplier mappedBytes = () -> 0;
    LongSupplier views = () -> 0;
    LongSupplier viewBytes = () -> 0;
    LongSupplier suspicions = () -> 0;
    LongSupplier breakerOpen = () -> 0;

    Counters() {
        for (int i = 0; i < pages.length; i++) {
            pages[i] = new LongAdder();
        }
    }

    void page(Outcome o, long bytes) {
        pages[o.ordinal()].increment();
        if (o == Outcome.SERVED) {
            localBytes.add(bytes);
        }
    }

    private long pages(Outcome o) {
        return pages[o.ordinal()].sum();
    }

    @Override
    public long getLocalBytes() {
        return localBytes.sum();
    }

    @Override
    public long getSidecarBytes() {
        return sidecarBytes.sum();
    }

    @Override
    public long getBypassedBytes() {
        return bypassedBytes.sum();
    }

    @Override
    public long getFilledBytes() {
        return filledBytes.sum();
    }

    @Override
    public long getLocalPages() {
        return pages(Outcome.SERVED);
    }

    @Override
    public long getAbsentPages() {
        return pages(Outcome.ABSENT);
    }

    @Override
    public long getRetiredPages() {
        return pages(Outcome.RETIRED);
    }

    @Override
    public long getDamagedPages() {
        return pages(Outcome.DAMAGED);
    }

    @Override
    public long getFailingPages() {
        return pages(Outcome.FAILING);
    }

    @Override
    public long getSlowPages() {
        return pages(Outcome.SLOW);
    }

    @Override
    public long getBusyPages() {
        return pages(Outcome.BUSY);
    }

    @Override
    public long getInterruptedPages() {
        return pages(Outcome.INTERRUPTED);
    }

    @Override
    public long getSidecarReads() {
        return sidecarReads.sum();
    }

    @Override
    public long getBypassedReads() {
        return bypassedReads.sum();
    }

    @Override
    public long getOpenedFiles() {
        return openedFiles.sum();
    }

    @Override
    public long getBypassedOpens() {
        return bypassedOpens.sum();
    }

    @Override
    public long getAnsweredCalls() {
        return answered.sum();
    }

    @Override
    public long getRefusedCalls() {
        return refused.sum();
    }

    @Override
    public long getLateCalls() {
        return late.sum();
    }

    @Override
    public long getUnreachedCalls() {
        return unreached.sum();
    }

    @Override
    public long getNotTriedCalls() {
        return notTried.sum();
    }

    @Override
    public long getQuestions() {
        return questions.sum();
    }

    @Override
    public long getSuspicions() {
        return suspicions.getAsLong();
    }

    @Override
    public long getSenselessAnswers() {
        return senseless.sum();
    }

    @Override
    public long getRetiredSegments() {
        return retiredSegments.sum();
    }

    @Override
    public long getForgets() {
        return forgets.sum();
    }

    @Override
    public long getTouchedPages() {
        return touched.sum();
    }

    @Override
    public long getStoredPages() {
        return stored.sum();
    }

    @Override
    public long getDroppedPages() {
        return dropped.sum();
    }

    @Override
    public long getOpenSegments() {
        return openSegments.getAsLong();
    }

    @Override
    public long getMappedBytes() {
        return mappedBytes.getAsLong();
    }

    @Override
    public long getViews() {
        return views.getAsLong();
    }

    @Override
    public long getViewBytes() {
        return viewBytes.getAsLong();
    }

    @Override
    public long getBreakerOpen() {
        return breakerOpen.getAsLong();
    }
}
