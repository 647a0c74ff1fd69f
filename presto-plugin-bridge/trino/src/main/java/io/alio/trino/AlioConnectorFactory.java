package io.alio.trino;

import com.google.inject.Module;
import io.trino.spi.connector.Connector;
import io.trino.spi.connector.ConnectorContext;
import io.trino.spi.connector.ConnectorFactory;
import io.trino.spi.connector.ConnectorSplit;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Function;

/** Makes one of Trino's connectors under another name, with {@link AlioModule} in it and {@link Wrapping} around it. */
final class AlioConnectorFactory implements ConnectorFactory {
    /** The only release that this was compiled against. */
    static final String TRINO = "476";

    /** Makes Trino's own connector with one more module. */
    @FunctionalInterface
    interface Stock {
        Connector create(String catalog, Map<String, String> config, ConnectorContext context, Module module);
    }

    private final String name;
    private final TableFormat format;
    private final Stock stock;
    private final Function<ConnectorSplit, Optional<Placement.Piece>> pieces;

    /** @param pieces which piece of which file a split of the connector is; empty: it is none */
    AlioConnectorFactory(String name, TableFormat format, Stock stock, Function<ConnectorSplit, Optional<Placement.Piece>> pieces) {
        this.name = Objects.requireNonNull(name, "name");
        this.format = Objects.requireNonNull(format, "format");
        this.stock = Objects.requireNonNull(stock, "stock");
        this.pieces = Objects.requireNonNull(pieces, "pieces");
    }

    @Override
    public String getName() {
        return name;
    }

    @Override
    public Connector create(String catalog, Map<String, String> config, ConnectorContext context) {
        // Trino's own factories compare versions too, in the method that we go past.
        if (!context.getSpiVersion().equals(TRINO)) {
            throw new IllegalStateException("connector.name=" + name + " was built for Trino " + TRINO + ", and this is " + context.getSpiVersion()
                    + ": install the bridge of that release, or set connector.name to Trino's own connector");
        }
        if (isTrue(config.getOrDefault("alio.enabled", "true")) && isTrue(config.get("fs.cache.enabled"))) {
            throw new IllegalArgumentException("catalog " + catalog + ": fs.cache.enabled=true and connector.name=" + name
                    + " are two caches for the same reads: remove the fs.cache.* properties, or set alio.enabled=false");
        }
        AlioModule module = new AlioModule(catalog, format);
        Connector connector = stock.create(catalog, config, context, module);
        return Wrapping.connector(connector, Placement.of(catalog, module.config(), context.getNodeManager(), pieces));
    }

    private static boolean isTrue(String value) {
        return value != null && value.trim().equalsIgnoreCase("true");
    }
}
