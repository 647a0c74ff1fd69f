package io.alio.presto;

import com.facebook.presto.spi.Plugin;
import com.facebook.presto.spi.connector.ConnectorFactory;
import java.util.Collections;

/**
 * Adds the connector {@code alio-hive} to plugin/hive-hadoop2. In plugin/delta and plugin/hudi, where the same jar lies for its file systems, it adds nothing:
 * a connector's name may be given once only. Loaded before any catalog, it also is what puts {@link AlioFileSystemCache} in its place, in all three.
 */
public class AlioHivePlugin implements Plugin {
    @Override
    public Iterable<ConnectorFactory> getConnectorFactories() {
        AlioFileSystemCache.install();
        ClassLoader loader = AlioHivePlugin.class.getClassLoader();
        try {
            Class.forName("com.facebook.presto.hive.HiveHadoop2Plugin", false, loader);
        } catch (ClassNotFoundException e) {
            return Collections.emptyList();
        }
        return Collections.singletonList(new AlioHiveConnectorFactory(loader));
    }
}
