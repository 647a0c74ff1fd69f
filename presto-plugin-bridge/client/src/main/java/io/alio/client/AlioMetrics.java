package io.alio.client;

/**
 * The client's counters since it was made, and a few present values. {@link AlioOptions#jmxName} shows the same as an MXBean. Names are those of the Go
 * client's metrics in docs/protocol.md, where it has them.
 */
public interface AlioMetrics {
    /** Bytes read from segments. */
    long getLocalBytes();

    /** Bytes that the sidecar sent. */
    long getSidecarBytes();

    /** Bytes that came from a caller's {@link OriginReader} since the sidecar could not serve them: what the cache was bypassed for. */
    long getBypassedBytes();

    /** Bytes that the filler of a client-filled file has read. */
    long getFilledBytes();

    /** Reads from segments that were served: pages. */
    long getLocalPages();

    /** Pages that were not read locally, since no place of theirs is known. */
    long getAbsentPages();

    /** Pages that were not read locally, since their segment is gone. */
    long getRetiredPages();

    /** Pages whose header or sum did not hold, or whose file ended: evicted in the meantime, or damaged. Never served. */
    long getDamagedPages();

    /** Pages that were not read locally, since the device failed or is set aside. */
    long getFailingPages();

    /** Pages that were not read locally, since the device did not answer in time. */
    long getSlowPages();

    /** Pages that were not read locally, since as many segments were open and in use as may be. */
    long getBusyPages();

    /** Pages whose local read a thread's interruption ended. */
    long getInterruptedPages();

    /** Range requests to the sidecar that were served: reads that were not, or not whole, local. */
    long getSidecarReads();

    /** Ranges that a caller's {@link OriginReader} had to read since the sidecar could not serve them. */
    long getBypassedReads();

    /** Files that were opened, whether or not a call was made for it. */
    long getOpenedFiles();

    /** Files that the sidecar could not serve at {@link AlioClient#open}: the caller went to its own file system. */
    long getBypassedOpens();

    /** Calls that the sidecar answered. */
    long getAnsweredCalls();

    /** Calls that the sidecar answered with an error. */
    long getRefusedCalls();

    /** Calls that were given up, since they were not answered in time. */
    long getLateCalls();

    /** Calls for which there was no connection, or it broke. */
    long getUnreachedCalls();

    /** Calls that were not made, since the last one was not answered in time, and the sidecar has not yet said that it lives. */
    long getNotTriedCalls();

    /** Times that a call was not answered in time, and the sidecar was not called until it had said that it lives: as a rule within a millisecond. */
    long getSuspicions();

    /** Times that it was asked for that, by nobody who waited. */
    long getQuestions();

    /** Answers of the sidecar that made no sense and were not used. */
    long getSenselessAnswers();

    /** Segments that the sidecar said were gone, and that were known here. */
    long getRetiredSegments();

    /** Times that every place was forgotten, since the sidecar said so: as a rule, since it was started again. */
    long getForgets();

    /** Pages whose local reads were reported to the sidecar. */
    long getTouchedPages();

    /** Pages read for the sidecar that it stored. */
    long getStoredPages();

    /** Pages read for the sidecar that it did not store. */
    long getDroppedPages();

    /** Segment files open now. */
    long getOpenSegments();

    /** Bytes of segments mapped now. */
    long getMappedBytes();

    /** Objects remembered. */
    long getViews();

    /** Memory of the objects remembered, in bytes. */
    long getViewBytes();

    /** 1 while the sidecar does not answer the question whether it lives, and is not called; else 0. */
    long getBreakerOpen();
}
