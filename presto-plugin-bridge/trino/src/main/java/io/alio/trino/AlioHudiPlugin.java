package io.alio.trino;

import io.trino.plugin.hudi.HudiConnectorFactory;
import io.trino.plugin.hudi.HudiSplit;
import io.trino.spi.Plugin;
import io.trino.spi.connector.ConnectorFactory;
import java.util.List;
import java.util.Optional;

/** Registers {@code alio_hudi}. It stands in the folder of Trino's Hudi plugin in the place of {@code HudiPlugin}. */
public final class AlioHudiPlugin implements Plugin {
    @Override
    public Iterable<ConnectorFactory> getConnectorFactories() {
        return List.of(new AlioConnectorFactory("alio_hudi", TableFormat.HUDI, (catalog, config, context, module) ->
                HudiConnectorFactory.createConnector(catalog, config, context, Optional.of(module)),
                split -> split instanceof HudiSplit s ? Optional.of(new Placement.Piece(s.location(), s.start(), s.length())) : Optional.empty()));
    }
}
