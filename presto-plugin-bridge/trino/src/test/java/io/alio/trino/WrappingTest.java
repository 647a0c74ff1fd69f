package io.alio.trino;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.trino.spi.HostAddress;
import io.trino.spi.SplitWeight;
import io.trino.spi.connector.BucketFunction;
import io.trino.spi.connector.Connector;
import io.trino.spi.connector.ConnectorNodePartitioningProvider;
import io.trino.spi.connector.ConnectorPageSource;
import io.trino.spi.connector.ConnectorPageSourceProvider;
import io.trino.spi.connector.ConnectorPageSourceProviderFactory;
import io.trino.spi.connector.ConnectorPartitioningHandle;
import io.trino.spi.connector.ConnectorSession;
import io.trino.spi.connector.ConnectorSplit;
import io.trino.spi.connector.ConnectorTransactionHandle;
import io.trino.spi.type.Type;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.ToIntFunction;
import org.junit.jupiter.api.Test;

/** Whatever asks a connector about a split of ours hands it its own: page sources, be there a factory or not, and buckets. */
class WrappingTest {
    private record Own(int bucket) implements ConnectorSplit {
        @Override
        public SplitWeight getSplitWeight() {
            return SplitWeight.fromProportion(0.25);
        }

        @Override
        public List<HostAddress> getAddresses() {
            return List.of(HostAddress.fromString("block:1"));
        }

        @Override
        public long getRetainedSizeInBytes() {
            return 10;
        }
    }

    private final List<ConnectorSplit> seen = new ArrayList<>();
    private final ConnectorPageSourceProvider pages = (transaction, session, split, table, columns, filter) -> {
        seen.add(split);
        return (ConnectorPageSource) null;
    };
    private final Connector real = new Connector() {
        @Override
        public ConnectorPageSourceProvider getPageSourceProvider() {
            return pages;
        }

        @Override
        public ConnectorPageSourceProviderFactory getPageSourceProviderFactory() {
            return () -> pages;
        }

        @Override
        public ConnectorNodePartitioningProvider getNodePartitioningProvider() {
            return new ConnectorNodePartitioningProvider() {
                @Override
                public ToIntFunction<ConnectorSplit> getSplitBucketFunction(ConnectorTransactionHandle t, ConnectorSession s, ConnectorPartitioningHandle p, int buckets) {
                    return split -> ((Own) split).bucket();
                }

                @Override
                public BucketFunction getBucketFunction(ConnectorTransactionHandle t, ConnectorSession s, ConnectorPartitioningHandle p, List<Type> types, int buckets) {
                    return null;
                }
            };
        }
    };
    private final Connector wrapped = Wrapping.connector(real, Optional.empty());

    @Test
    void aConnectorGetsItsOwnSplitsBack() {
        Own own = new Own(7);
        AlioSplit ours = new AlioSplit(own, List.of(HostAddress.fromString("worker:8080")));
        for (ConnectorSplit split : List.of(own, ours, new AlioSplit(own))) {
            wrapped.getPageSourceProvider().createPageSource(null, null, split, null, List.of(), null);
            wrapped.getPageSourceProviderFactory().createPageSourceProvider().createPageSource(null, null, split, null, List.of(), null);
            assertEquals(7, wrapped.getNodePartitioningProvider().getSplitBucketFunction(null, null, null, 8).applyAsInt(split));
        }
        assertEquals(6, seen.size());
        seen.forEach(s -> assertSame(own, s));
        assertThrows(UnsupportedOperationException.class, wrapped::getSplitManager); // what the connector does not have, as it says it
    }

    @Test
    void aSplitOfOursIsTheOtherButForItsHosts() {
        Own own = new Own(1);
        AlioSplit ours = new AlioSplit(own, List.of(HostAddress.fromString("worker:8080")));
        assertEquals(List.of(HostAddress.fromString("worker:8080")), ours.getAddresses());
        assertEquals(own.getAddresses(), new AlioSplit(own).getAddresses());
        assertEquals(own.getSplitWeight(), ours.getSplitWeight());
        assertEquals(own.isRemotelyAccessible(), ours.isRemotelyAccessible());
        assertTrue(ours.getRetainedSizeInBytes() > own.getRetainedSizeInBytes());
    }
}
