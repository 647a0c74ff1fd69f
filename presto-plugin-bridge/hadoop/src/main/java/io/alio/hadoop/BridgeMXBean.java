package io.alio.hadoop;

/** What the bridge did since the process began, as the platform's JMX server shows it under {@code io.alio:type=FileSystem}. */
public interface BridgeMXBean {
    /** Files that were opened at the sidecar. */
    long getOpenedFiles();

    /** Files that the engine's own file system has opened since the sidecar could not serve them, or not in time. */
    long getBypassedFiles();

    /** Files that are not the sidecar's to read: no mount, reading is off, or still being written. */
    long getPassedFiles();

    /** Files that had changed when they were read, and were opened again or, where some of it had been read, failed. */
    long getChangedFiles();

    /** Files of which the engine's listing told something newer than the sidecar knew, so that it had to ask the origin. */
    long getConfirmedFiles();

    /** Bytes that were read by files opened at the sidecar. */
    long getReadBytes();

    /** Bytes of those that came from the engine's own file system after all. */
    long getBypassedBytes();

    /** Reads of those that the engine's own file system has made. */
    long getBypassedReads();

    /** With alio.metadata: questions about which objects there are that the sidecar has answered. */
    long getNamesAnswered();

    /** Those that it could not answer, so that the store was asked. */
    long getNamesBypassed();
}
