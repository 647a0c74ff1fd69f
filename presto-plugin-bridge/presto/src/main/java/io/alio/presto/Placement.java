package io.alio.presto;

import com.facebook.presto.spi.HostAddress;
import java.util.Collections;
import java.util.List;

/** Says on which nodes splits should run. It is asked once for a batch. */
interface Placement {
    /** The engine chooses, by its node selection strategy. */
    Placement ENGINE = splits -> Collections.nCopies(splits.size(), Collections.emptyList());

    /** For each split its preferred nodes in order; none: the engine's own choice. It must neither throw nor take long. */
    List<List<HostAddress>> prefer(List<AlioSplit> splits);
}
