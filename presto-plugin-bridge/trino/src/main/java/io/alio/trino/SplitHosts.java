package io.alio.trino;

import io.trino.spi.HostAddress;
import java.util.List;

/**
 * Chooses the workers that a split may run on: where the affinity service comes in. Trino waits for one of them however busy it is, so the answer must leave
 * out who is overloaded; it ignores their order. An empty list leaves the choice to Trino.
 */
@FunctionalInterface
public interface SplitHosts {
    /**
     * Called on the thread that schedules splits, for each split, in parallel: it must answer from memory.
     *
     * @param path the split's file, a location
     * @param hosts what Trino would choose: the hosts that hold the file's blocks, or none
     */
    List<HostAddress> choose(String path, List<HostAddress> hosts);
}
