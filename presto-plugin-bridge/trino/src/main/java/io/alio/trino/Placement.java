package io.alio.trino;

import io.airlift.log.Logger;
import io.alio.client.AffinityClient;
import io.alio.client.AffinityOptions;
import io.alio.client.FileSplit;
import io.trino.filesystem.Location;
import io.trino.spi.HostAddress;
import io.trino.spi.Node;
import io.trino.spi.NodeManager;
import io.trino.spi.connector.ConnectorSplit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Function;

/**
 * Has splits run on the workers whose sidecars own their sections. One worker each, since of several Trino takes the least busy, whatever their order, and the cache of each would come to
 * hold the file; more only where the service says so, for sections that are hot. Trino waits for that worker however busy it is, so the service leaves out those that are overloaded.
 */
final class Placement implements AutoCloseable {
    /** A piece of a file, as one of Trino's connectors has it. */
    record Piece(String location, long offset, long length) {}

    private static final Logger LOG = Logger.get(Placement.class);
    private static final int HOSTS = 1;

    private final AffinityClient affinity;
    private final Mounts mounts;
    private final NodeManager nodes;
    private final Function<ConnectorSplit, Optional<Piece>> pieces;
    private final Rarely rarely = new Rarely();

    private Placement(AffinityClient affinity, Mounts mounts, NodeManager nodes, Function<ConnectorSplit, Optional<Piece>> pieces) {
        this.affinity = affinity;
        this.mounts = mounts;
        this.nodes = nodes;
        this.pieces = Objects.requireNonNull(pieces, "pieces");
    }

    /** Empty: Trino chooses, since alio.affinity is off, or this node schedules nothing. */
    static Optional<Placement> of(String catalog, AlioConfig config, NodeManager nodes, Function<ConnectorSplit, Optional<Piece>> pieces) {
        if (!config.isEnabled() || !config.isAffinity() || !nodes.getCurrentNode().isCoordinator()) {
            return Optional.empty();
        }
        AffinityOptions options = AffinityOptions.of(config.getSidecar())
                .token(config.getToken())
                .jmxName(catalog)
                .warnings(text -> LOG.warn("catalog %s: %s", catalog, text));
        return Optional.of(new Placement(AffinityClient.create(options), Mounts.parse(config.getMounts()), nodes, pieces));
    }

    /** The splits of a batch, with their workers where the service names them. It does not throw, and waits for a few milliseconds at most. */
    List<ConnectorSplit> place(List<ConnectorSplit> splits) {
        try {
            return placed(splits);
        } catch (RuntimeException e) { // a fault of ours is no reason to fail a query
            rarely.run(() -> LOG.warn(e, "placing splits failed; Trino places them"));
            return splits;
        }
    }

    private List<ConnectorSplit> placed(List<ConnectorSplit> splits) {
        List<FileSplit> asked = splits.stream().map(this::fileSplit).toList();
        Map<String, HostAddress> workers = new HashMap<>();
        for (Node n : nodes.getWorkerNodes()) {
            workers.put(n.getHostAndPort().toString().toLowerCase(Locale.ROOT), n.getHostAndPort());
        }
        List<List<HostAddress>> placed = affinity.place(asked, HOSTS, workers);
        List<ConnectorSplit> out = new ArrayList<>(splits.size());
        for (int i = 0; i < splits.size(); i++) {
            out.add(placed.get(i).isEmpty() ? splits.get(i) : new AlioSplit(splits.get(i), placed.get(i)));
        }
        return out;
    }

    /** null: it is no piece of a file in a mount, or has to run where it says. */
    private FileSplit fileSplit(ConnectorSplit split) {
        if (!split.isRemotelyAccessible()) {
            return null;
        }
        try {
            return pieces.apply(split)
                    .flatMap(p -> mounts.place(Location.of(p.location())).map(at -> new FileSplit(at.mount(), at.path(), p.offset(), p.length())))
                    .orElse(null);
        } catch (IllegalArgumentException e) { // a location that this Trino reads and Location does not
            LOG.debug(e, "the split %s is left to Trino", split);
            return null;
        }
    }

    @Override
    public void close() {
        affinity.close();
    }
}
