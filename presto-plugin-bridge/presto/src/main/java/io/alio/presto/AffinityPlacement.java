package io.alio.presto;

import com.facebook.presto.hive.HiveFileSplit;
import com.facebook.presto.hive.HiveSplit;
import com.facebook.presto.spi.ConnectorSplit;
import com.facebook.presto.spi.HostAddress;
import com.facebook.presto.spi.Node;
import com.facebook.presto.spi.NodeManager;
import com.facebook.presto.spi.schedule.NodeSelectionStrategy;
import io.alio.client.FileSplit;
import io.alio.hadoop.Affinity;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;

/**
 * Splits prefer the workers whose sidecars own their sections. Two in order: Presto takes the first that has room in its queue, and where neither has, any node; so the second is where the
 * overflow goes and is cached, instead of anywhere.
 */
final class AffinityPlacement implements Placement {
    private static final int HOSTS = 2;

    private final Affinity affinity;
    private final NodeManager nodes;

    private AffinityPlacement(Affinity affinity, NodeManager nodes) {
        this.affinity = affinity;
        this.nodes = nodes;
    }

    /** What a catalog's files of settings say; the engine's own choice on nodes that schedule nothing. */
    static Placement of(Map<String, String> catalog, NodeManager nodes) {
        if (!nodes.getCurrentNode().isCoordinator()) {
            return ENGINE;
        }
        Configuration settings = new Configuration(false);
        for (String file : catalog.getOrDefault("hive.config.resources", "").split(",")) {
            if (!file.trim().isEmpty()) {
                settings.addResource(new Path(file.trim()));
            }
        }
        Optional<Affinity> affinity = Affinity.of(settings::get);
        return affinity.isPresent() ? new AffinityPlacement(affinity.get(), nodes) : ENGINE;
    }

    @Override
    public List<List<HostAddress>> prefer(List<AlioSplit> splits) {
        try {
            return placed(splits);
        } catch (RuntimeException e) { // a fault of ours is no reason to fail a query
            affinity.warn("splits are placed by Presto, since the bridge failed: " + e);
            return ENGINE.prefer(splits);
        }
    }

    private List<List<HostAddress>> placed(List<AlioSplit> splits) {
        List<FileSplit> pieces = new ArrayList<>(splits.size());
        for (AlioSplit s : splits) {
            pieces.add(piece(s.getSplit()));
        }
        Map<String, HostAddress> workers = new HashMap<>();
        for (Node n : nodes.getWorkerNodes()) {
            workers.put(n.getHostAndPort().toString().toLowerCase(Locale.ROOT), n.getHostAndPort());
        }
        return affinity.client().place(pieces, HOSTS, workers);
    }

    /** null: the split must run where it says. */
    private FileSplit piece(ConnectorSplit s) {
        if (s.getNodeSelectionStrategy() == NodeSelectionStrategy.HARD_AFFINITY) {
            return null;
        }
        HiveFileSplit f = ((HiveSplit) s).getFileSplit();
        return affinity.split(new Path(f.getPath()).toUri(), f.getStart(), f.getLength());
    }
}
