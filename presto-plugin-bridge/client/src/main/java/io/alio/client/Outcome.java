package io.alio.client;

/** How the attempt to read a page locally ended. */
enum Outcome {
    SERVED,
    /** No place is known. */
    ABSENT,
    /** Its segment is gone. */
    RETIRED,
    /** A sum or the record's header did not hold, or the file ended: evicted in the meantime, or damaged. */
    DAMAGED,
    /** The device answered an error, or is set aside. */
    FAILING,
    /** The device did not answer in time. */
    SLOW,
    /** As many segments are open and in use as may be. */
    BUSY,
    /** An interruption closed the file, more than once. */
    INTERRUPTED,
}
