package io.alio.presto;

import com.facebook.presto.hive.HiveConnectorFactory;
import com.facebook.presto.hive.HiveHandleResolver;
import com.facebook.presto.spi.ConnectorHandleResolver;
import com.facebook.presto.spi.ConnectorSplit;
import com.facebook.presto.spi.connector.Connector;
import com.facebook.presto.spi.connector.ConnectorContext;
import com.facebook.presto.spi.connector.ConnectorFactory;
import java.util.Map;
import java.util.Optional;

/** Makes {@code alio-hive}: Presto's Hive connector, whose splits carry the version of their file and may prefer other nodes. */
final class AlioHiveConnectorFactory implements ConnectorFactory {
    private static final String NAME = "alio-hive";

    private final ConnectorFactory hive;

    AlioHiveConnectorFactory(ClassLoader loader) {
        hive = new HiveConnectorFactory(NAME, loader, Optional.empty());
    }

    @Override
    public String getName() {
        return NAME;
    }

    @Override
    public ConnectorHandleResolver getHandleResolver() {
        return new HiveHandleResolver() {
            @Override
            public Class<? extends ConnectorSplit> getSplitClass() {
                return AlioSplit.class;
            }
        };
    }

    @Override
    public Connector create(String catalog, Map<String, String> config, ConnectorContext context) {
        Listed.begin();
        return Wrapping.connector(hive.create(catalog, config, context), AffinityPlacement.of(config, context.getNodeManager()));
    }
}
