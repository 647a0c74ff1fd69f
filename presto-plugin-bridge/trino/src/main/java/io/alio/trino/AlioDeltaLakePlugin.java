package io.alio.trino;

import io.trino.plugin.deltalake.DeltaLakeConnectorFactory;
import io.trino.plugin.deltalake.DeltaLakeSplit;
import io.trino.spi.Plugin;
import io.trino.spi.connector.ConnectorFactory;
import java.util.List;
import java.util.Optional;

/** Registers {@code alio_delta_lake}. It stands in the folder of Trino's Delta Lake plugin in the place of {@code DeltaLakePlugin}. */
public final class AlioDeltaLakePlugin implements Plugin {
    @Override
    public Iterable<ConnectorFactory> getConnectorFactories() {
        return List.of(new AlioConnectorFactory("alio_delta_lake", TableFormat.DELTA_LAKE, (catalog, config, context, module) ->
                DeltaLakeConnectorFactory.createConnector(catalog, config, context, Optional.empty(), module),
                split -> split instanceof DeltaLakeSplit s ? Optional.of(new Placement.Piece(s.getPath(), s.getStart(), s.getLength())) : Optional.empty()));
    }
}
