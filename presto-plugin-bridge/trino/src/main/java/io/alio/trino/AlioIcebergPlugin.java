package io.alio.trino;

import io.trino.plugin.iceberg.IcebergConnectorFactory;
import io.trino.plugin.iceberg.IcebergSplit;
import io.trino.spi.Plugin;
import io.trino.spi.connector.ConnectorFactory;
import java.util.List;
import java.util.Optional;

/**
 * Registers {@code alio_iceberg}. It stands in the folder of Trino's Iceberg plugin in the place of {@code IcebergPlugin}, which also registers a function
 * for statistics. That one belongs to the server and not to a catalog, so it must be registered once: Trino's own plugin does it, and has to stay.
 */
public final class AlioIcebergPlugin implements Plugin {
    @Override
    public Iterable<ConnectorFactory> getConnectorFactories() {
        return List.of(new AlioConnectorFactory("alio_iceberg", TableFormat.ICEBERG, (catalog, config, context, module) ->
                IcebergConnectorFactory.createConnector(catalog, config, context, module, Optional.empty()),
                split -> split instanceof IcebergSplit s ? Optional.of(new Placement.Piece(s.getPath(), s.getStart(), s.getLength())) : Optional.empty()));
    }
}
