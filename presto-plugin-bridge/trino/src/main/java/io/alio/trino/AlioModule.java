package io.alio.trino;

import static com.google.inject.multibindings.OptionalBinder.newOptionalBinder;

import com.google.inject.Binder;
import com.google.inject.Scopes;
import io.airlift.configuration.AbstractConfigurationAwareModule;
import io.trino.filesystem.cache.CacheKeyProvider;
import io.trino.filesystem.cache.TrinoFileSystemCache;
import java.util.Objects;

/** Binds the sidecar to the hook of Trino's file systems. With {@code alio.enabled=false} it binds nothing, and the connector is Trino's own. */
final class AlioModule extends AbstractConfigurationAwareModule {
    private final String catalog;
    private final TableFormat format;
    private AlioConfig config;

    AlioModule(String catalog, TableFormat format) {
        this.catalog = Objects.requireNonNull(catalog, "catalog");
        this.format = Objects.requireNonNull(format, "format");
    }

    @Override
    protected void setup(Binder binder) {
        config = buildConfigObject(AlioConfig.class);
        if (!config.isEnabled()) {
            return;
        }
        binder.bind(AlioFileSystemCache.class).toProvider(() -> AlioFileSystemCache.create(catalog, format, config)).in(Scopes.SINGLETON);
        newOptionalBinder(binder, TrinoFileSystemCache.class).setBinding().to(AlioFileSystemCache.class).in(Scopes.SINGLETON);
        // Trino's own provider asks for each file's length and time, which costs a HEAD where the connector does not have them. Delta Lake and Iceberg have
        // bound others, which ask for neither and leave out what moves.
        if (format != TableFormat.DELTA_LAKE && format != TableFormat.ICEBERG) {
            newOptionalBinder(binder, CacheKeyProvider.class).setBinding().toInstance(new LocationKeyProvider());
        }
    }

    /** The catalog's properties, once the connector is made. */
    AlioConfig config() {
        return config;
    }
}
