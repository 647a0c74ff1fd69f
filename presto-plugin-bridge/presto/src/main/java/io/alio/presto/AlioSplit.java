package io.alio.presto;

import com.facebook.presto.spi.ConnectorSplit;
import com.facebook.presto.spi.HostAddress;
import com.facebook.presto.spi.NodeProvider;
import com.facebook.presto.spi.SplitWeight;
import com.facebook.presto.spi.schedule.NodeSelectionStrategy;
import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonProperty;
import io.alio.hadoop.Known;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;

/** A split of the Hive connector, with the version that its file had in the listing that it comes from. It holds the other and does not extend it. */
public final class AlioSplit implements ConnectorSplit {
    private final ConnectorSplit split;
    private final String etag;
    private final long size;
    private final List<HostAddress> preferred; // on the coordinator only

    /**
     * @param etag of the file, without quotes; empty: not known
     * @param size of the file in bytes
     */
    @JsonCreator
    public AlioSplit(@JsonProperty("split") ConnectorSplit split, @JsonProperty("etag") String etag, @JsonProperty("size") long size) {
        this(split, etag, size, Collections.emptyList());
    }

    private AlioSplit(ConnectorSplit split, String etag, long size, List<HostAddress> preferred) {
        this.split = Objects.requireNonNull(split, "split");
        this.etag = Objects.requireNonNull(etag, "etag");
        this.size = size;
        this.preferred = preferred;
    }

    AlioSplit preferring(List<HostAddress> nodes) {
        return nodes.isEmpty() ? this : new AlioSplit(split, etag, size, nodes);
    }

    @JsonProperty
    public ConnectorSplit getSplit() {
        return split;
    }

    @JsonProperty
    public String getEtag() {
        return etag;
    }

    @JsonProperty
    public long getSize() {
        return size;
    }

    Known known() {
        return etag.isEmpty() ? Known.NOTHING : S3Versions.known(etag, size);
    }

    @Override
    public NodeSelectionStrategy getNodeSelectionStrategy() {
        return preferred.isEmpty() ? split.getNodeSelectionStrategy() : NodeSelectionStrategy.SOFT_AFFINITY;
    }

    @Override
    public List<HostAddress> getPreferredNodes(NodeProvider nodes) {
        return preferred.isEmpty() ? split.getPreferredNodes(nodes) : preferred;
    }

    @Override
    @SuppressWarnings("deprecation")
    public Object getInfo() {
        return split.getInfo();
    }

    @Override
    public Map<String, String> getInfoMap() {
        return split.getInfoMap();
    }

    @Override
    public Object getSplitIdentifier() {
        return split.getSplitIdentifier();
    }

    @Override
    public OptionalLong getSplitSizeInBytes() {
        return split.getSplitSizeInBytes();
    }

    @Override
    public SplitWeight getSplitWeight() {
        return split.getSplitWeight();
    }

    @Override
    public String toString() {
        return split.toString();
    }
}
