package io.alio.presto;

import com.facebook.presto.hive.HiveFileSplit;
import com.facebook.presto.hive.HiveSplit;
import com.facebook.presto.spi.ConnectorSplit;
import com.facebook.presto.spi.ConnectorSplitSource;
import com.facebook.presto.spi.ConnectorSplitSource.ConnectorSplitBatch;
import com.facebook.presto.spi.HostAddress;
import com.facebook.presto.spi.connector.Connector;
import com.facebook.presto.spi.connector.ConnectorNodePartitioningProvider;
import com.facebook.presto.spi.connector.ConnectorPageSourceProvider;
import com.facebook.presto.spi.connector.ConnectorSplitManager;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.ToIntFunction;
import org.apache.hadoop.fs.Path;

/**
 * Puts {@link AlioSplit} around the splits of a connector, and takes it off where the connector gets its split back. The wrappers are proxies, so that
 * whatever else a later release of Presto has added to these interfaces passes through.
 */
final class Wrapping {
    /** Changes a call or its answer. */
    private interface Around {
        Object call(Method m, Object[] args) throws Throwable;
    }

    private Wrapping() {
    }

    private static <T> T proxy(Class<T> type, T real, Around around) {
        return type.cast(Proxy.newProxyInstance(Wrapping.class.getClassLoader(), new Class<?>[] {type}, (p, m, args) -> {
            if (m.getDeclaringClass() == Object.class) {
                return m.invoke(real, args);
            }
            return around.call(m, args);
        }));
    }

    private static Object invoke(Object real, Method m, Object[] args) throws Throwable {
        try {
            return m.invoke(real, args);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    static Connector connector(Connector real, Placement placement) {
        return proxy(Connector.class, real, (m, args) -> {
            Object answer = invoke(real, m, args);
            if (answer instanceof ConnectorSplitManager) {
                return splitManager((ConnectorSplitManager) answer, placement);
            }
            if (answer instanceof ConnectorPageSourceProvider) {
                return pageSources((ConnectorPageSourceProvider) answer);
            }
            if (answer instanceof ConnectorNodePartitioningProvider) {
                return partitioning((ConnectorNodePartitioningProvider) answer);
            }
            return answer;
        });
    }

    private static ConnectorSplitManager splitManager(ConnectorSplitManager real, Placement placement) {
        return proxy(ConnectorSplitManager.class, real, (m, args) -> {
            long begun = System.nanoTime(); // a listing from before would not tell what is there now
            Object answer = invoke(real, m, args);
            return answer instanceof ConnectorSplitSource ? splits((ConnectorSplitSource) answer, placement, begun) : answer;
        });
    }

    private static ConnectorSplitSource splits(ConnectorSplitSource real, Placement placement, long begun) {
        return proxy(ConnectorSplitSource.class, real, (m, args) -> {
            Object answer = invoke(real, m, args);
            if (answer instanceof CompletableFuture) {
                return ((CompletableFuture<?>) answer).thenApply(b -> b instanceof ConnectorSplitBatch ? wrap((ConnectorSplitBatch) b, placement, begun) : b);
            }
            return answer;
        });
    }

    private static ConnectorSplitBatch wrap(ConnectorSplitBatch batch, Placement placement, long begun) {
        List<AlioSplit> wrapped = new ArrayList<>(batch.getSplits().size());
        for (ConnectorSplit s : batch.getSplits()) {
            wrapped.add(wrap(s, begun));
        }
        List<List<HostAddress>> preferred = placement.prefer(wrapped);
        List<ConnectorSplit> out = new ArrayList<>(wrapped.size());
        for (int i = 0; i < wrapped.size(); i++) {
            out.add(wrapped.get(i).preferring(preferred.get(i)));
        }
        return new ConnectorSplitBatch(out, batch.isNoMoreSplits());
    }

    private static AlioSplit wrap(ConnectorSplit s, long begun) {
        HiveFileSplit f = ((HiveSplit) s).getFileSplit();
        return new AlioSplit(s, Listed.etag(new Path(f.getPath()).toUri(), f.getFileSize(), begun), f.getFileSize());
    }

    private static ConnectorPageSourceProvider pageSources(ConnectorPageSourceProvider real) {
        return proxy(ConnectorPageSourceProvider.class, real, (m, args) -> {
            AlioSplit split = unwrap(args);
            if (split == null || split.getEtag().isEmpty()) {
                return invoke(real, m, args);
            }
            Carried.set(new Path(((HiveSplit) split.getSplit()).getFileSplit().getPath()).toUri(), split.known());
            try {
                return invoke(real, m, args);
            } finally {
                Carried.clear();
            }
        });
    }

    private static ConnectorNodePartitioningProvider partitioning(ConnectorNodePartitioningProvider real) {
        return proxy(ConnectorNodePartitioningProvider.class, real, (m, args) -> {
            Object answer = invoke(real, m, args);
            if (!m.getName().equals("getSplitBucketFunction")) {
                return answer;
            }
            @SuppressWarnings("unchecked")
            ToIntFunction<ConnectorSplit> buckets = (ToIntFunction<ConnectorSplit>) answer;
            return (ToIntFunction<ConnectorSplit>) s -> buckets.applyAsInt(s instanceof AlioSplit ? ((AlioSplit) s).getSplit() : s);
        });
    }

    /** Replaces a wrapped split among arguments by what it holds; null: there was none. */
    private static AlioSplit unwrap(Object[] args) {
        for (int i = 0; args != null && i < args.length; i++) {
            if (args[i] instanceof AlioSplit) {
                AlioSplit found = (AlioSplit) args[i];
                args[i] = found.getSplit();
                return found;
            }
        }
        return null;
    }
}
