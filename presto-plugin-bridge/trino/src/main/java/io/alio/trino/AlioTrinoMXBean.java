package io.alio.trino;

/** What a catalog did with the files that Trino opened, since the server's start: {@code io.alio:type=Trino,name=<catalog>}. Bytes are in {@code type=Client}. */
public interface AlioTrinoMXBean {
    /** Files that were opened through the sidecar. */
    long getOpenedFiles();

    /** Files that Trino read by itself, since the sidecar could not open them: it was not there, has no such mount, or may not read it. */
    long getBypassedFiles();

    /** Files of Delta logs that are not there, by the word of the sidecar's origin: Trino did not ask for them by itself. */
    long getAbsentFiles();

    /** Files that Trino read by itself, since no mount was configured for their location. */
    long getUnmappedFiles();

    /** Files of which the sidecar believed an older version than Trino had listed; it was told, and asked again. */
    long getStaleFiles();
}
