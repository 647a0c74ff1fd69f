package io.alio.trino;

import io.trino.plugin.hive.HiveConnectorFactory;
import io.trino.plugin.hive.HiveSplit;
import io.trino.spi.Plugin;
import io.trino.spi.connector.ConnectorFactory;
import java.util.List;
import java.util.Optional;

/** Registers {@code alio_hive}. It stands in the folder of Trino's Hive plugin in the place of {@code HivePlugin}. */
public final class AlioHivePlugin implements Plugin {
    @Override
    public Iterable<ConnectorFactory> getConnectorFactories() {
        return List.of(new AlioConnectorFactory("alio_hive", TableFormat.HIVE, (catalog, config, context, module) ->
                HiveConnectorFactory.createConnector(catalog, config, context, module, Optional.empty(), Optional.empty()),
                split -> split instanceof HiveSplit s ? Optional.of(new Placement.Piece(s.getPath(), s.getStart(), s.getLength())) : Optional.empty()));
    }
}
