package io.alio.trino;

import io.trino.spi.connector.Connector;
import io.trino.spi.connector.ConnectorNodePartitioningProvider;
import io.trino.spi.connector.ConnectorPageSourceProvider;
import io.trino.spi.connector.ConnectorPageSourceProviderFactory;
import io.trino.spi.connector.ConnectorSplit;
import io.trino.spi.connector.ConnectorSplitManager;
import io.trino.spi.connector.ConnectorSplitSource;
import io.trino.spi.connector.ConnectorSplitSource.ConnectorSplitBatch;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.ToIntFunction;

/**
 * Puts {@link AlioSplit} around the splits of a connector, and takes it off where the connector gets its split back, which every node does, whatever its own settings: the coordinator may have
 * others. Trino has a hook for hosts, too, but it is told a file and not where in the file the split begins, and Hudi's connector does not ask it.
 */
final class Wrapping {
    /** Changes a call or its answer. */
    private interface Around {
        Object call(Method m, Object[] args) throws Throwable;
    }

    private Wrapping() {}

    private static <T> T proxy(Class<T> type, T real, Around around) {
        return type.cast(Proxy.newProxyInstance(Wrapping.class.getClassLoader(), new Class<?>[] {type}, (p, m, args) ->
                m.getDeclaringClass() == Object.class ? m.invoke(real, args) : around.call(m, args)));
    }

    private static Object invoke(Object real, Method m, Object[] args) throws Throwable {
        try {
            return m.invoke(real, args);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    /** @param placement empty: Trino places the splits */
    static Connector connector(Connector real, Optional<Placement> placement) {
        return proxy(Connector.class, real, (m, args) -> {
            Object answer = invoke(real, m, args);
            if (m.getName().equals("shutdown")) {
                placement.ifPresent(Placement::close);
            }
            return switch (answer) {
                case ConnectorSplitManager s when placement.isPresent() -> splitManager(s, placement.get());
                case ConnectorPageSourceProvider p -> pageSources(p);
                case ConnectorPageSourceProviderFactory f -> (ConnectorPageSourceProviderFactory) () -> pageSources(f.createPageSourceProvider());
                case ConnectorNodePartitioningProvider p -> partitioning(p);
                case null, default -> answer;
            };
        });
    }

    private static ConnectorSplitManager splitManager(ConnectorSplitManager real, Placement placement) {
        return proxy(ConnectorSplitManager.class, real, (m, args) -> {
            Object answer = invoke(real, m, args);
            return answer instanceof ConnectorSplitSource s ? splits(s, placement) : answer;
        });
    }

    private static ConnectorSplitSource splits(ConnectorSplitSource real, Placement placement) {
        return proxy(ConnectorSplitSource.class, real, (m, args) -> {
            Object answer = invoke(real, m, args);
            return answer instanceof CompletableFuture<?> f ? f.thenApply(b -> b instanceof ConnectorSplitBatch batch ? place(batch, placement) : b) : answer;
        });
    }

    private static ConnectorSplitBatch place(ConnectorSplitBatch batch, Placement placement) {
        return batch.getSplits().isEmpty() ? batch : new ConnectorSplitBatch(placement.place(batch.getSplits()), batch.isNoMoreSplits());
    }

    private static ConnectorPageSourceProvider pageSources(ConnectorPageSourceProvider real) {
        return (transaction, session, split, table, columns, filter) -> real.createPageSource(transaction, session, unwrapped(split), table, columns, filter);
    }

    private static ConnectorNodePartitioningProvider partitioning(ConnectorNodePartitioningProvider real) {
        return proxy(ConnectorNodePartitioningProvider.class, real, (m, args) -> {
            Object answer = invoke(real, m, args);
            if (!m.getName().equals("getSplitBucketFunction")) {
                return answer;
            }
            @SuppressWarnings("unchecked")
            ToIntFunction<ConnectorSplit> buckets = (ToIntFunction<ConnectorSplit>) answer;
            return (ToIntFunction<ConnectorSplit>) split -> buckets.applyAsInt(unwrapped(split));
        });
    }

    private static ConnectorSplit unwrapped(ConnectorSplit split) {
        return split instanceof AlioSplit ours ? ours.getSplit() : split;
    }
}
