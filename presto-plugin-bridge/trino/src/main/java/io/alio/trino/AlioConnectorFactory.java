package io.alio.trino;

import com.google.inject.Module;
import io.trino.spi.connector.Connector;
import io.trino.spi.connector.ConnectorContext;
import io.trino.spi.connector.ConnectorFactory;
import java.util.Map;
import java.util.Objects;

/** Makes one of Trino's connectors under another name, with {@link AlioModule} in it. */
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

    AlioConnectorFactory(String name, TableFormat format, Stock stock) {
        this.name = Objects.requireNonNull(name, "name");
        this.format = Objects.requireNonNull(format, "format");
        this.stock = Objects.requireNonNull(stock, "stock");
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
        return stock.create(catalog, config, context, new AlioModule(catalog, format));
    }

    private static boolean isTrue(String value) {
        return value != null && value.trim().equalsIgnoreCase("true");
    }
}
