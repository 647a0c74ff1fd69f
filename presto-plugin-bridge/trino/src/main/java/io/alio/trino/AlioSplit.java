package io.alio.trino;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonProperty;
import io.airlift.slice.SizeOf;
import io.trino.spi.HostAddress;
import io.trino.spi.SplitWeight;
import io.trino.spi.connector.ConnectorSplit;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** A split of one of Trino's connectors that runs on other workers than it would: those that the affinity service has named. They do not travel to the worker. */
public final class AlioSplit implements ConnectorSplit {
    private static final int SIZE = SizeOf.instanceSize(AlioSplit.class);

    private final ConnectorSplit split;
    private final List<HostAddress> hosts; // on the coordinator only

    @JsonCreator
    public AlioSplit(@JsonProperty("split") ConnectorSplit split) {
        this(split, List.of());
    }

    AlioSplit(ConnectorSplit split, List<HostAddress> hosts) {
        this.split = Objects.requireNonNull(split, "split");
        this.hosts = List.copyOf(hosts);
    }

    @JsonProperty
    public ConnectorSplit getSplit() {
        return split;
    }

    @Override
    @JsonIgnore
    public boolean isRemotelyAccessible() {
        return split.isRemotelyAccessible();
    }

    @Override
    @JsonIgnore
    public List<HostAddress> getAddresses() {
        return hosts.isEmpty() ? split.getAddresses() : hosts;
    }

    @Override
    @JsonIgnore
    @SuppressWarnings("removal")
    public Map<String, String> getSplitInfo() {
        return split.getSplitInfo();
    }

    @Override
    @JsonIgnore
    public SplitWeight getSplitWeight() {
        return split.getSplitWeight();
    }

    @Override
    @JsonIgnore
    public long getRetainedSizeInBytes() {
        return SIZE + SizeOf.estimatedSizeOf(hosts, HostAddress::getRetainedSizeInBytes) + split.getRetainedSizeInBytes();
    }

    @Override
    public String toString() {
        return split.toString();
    }
}
