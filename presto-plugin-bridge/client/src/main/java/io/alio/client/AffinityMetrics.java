package io.alio.client;

/** What an {@link AffinityClient} did since it was made, and a few present values. {@link AffinityOptions#jmxName} shows the same as an MXBean. */
public interface AffinityMetrics {
    /** Splits that were placed as the affinity service has answered. */
    long getAskedSplits();

    /** Splits that were placed by the epoch held here, since the service has not answered, or not in time. */
    long getWatchedSplits();

    /** Splits that were left to the engine's own choice: there is no epoch, no mount, or no worker of an owner is among the engine's nodes. */
    long getLeftSplits();

    /** Owners that were passed over, since their worker is not among the engine's nodes: it is down, or its sidecar calls it by another name. */
    long getMissingWorkers();

    /** Batches that were placed. */
    long getBatches();

    /** The longest time that one batch took, in microseconds. */
    long getSlowestMicros();

    /** Calls that the service answered. */
    long getAnsweredCalls();

    /** Calls that it answered with an error, such as that there is no epoch yet. */
    long getRefusedCalls();

    /** Calls that were given up, since they were not answered in time. */
    long getLateCalls();

    /** Calls for which there was no connection, or it broke. */
    long getUnreachedCalls();

    /** Calls that were not made, since the last one was not answered in time, and the service has not yet said that it lives. */
    long getNotTriedCalls();

    /** Answers that made no sense and were not used. */
    long getSenselessAnswers();

    /** The number of the epoch held here; 0: none. */
    long getEpoch();

    /** How many epochs were taken over. */
    long getEpochs();

    /** Its members. */
    long getMembers();

    /** 1 while the service does not answer the question whether it lives, and is not called; else 0. */
    long getBreakerOpen();
}
