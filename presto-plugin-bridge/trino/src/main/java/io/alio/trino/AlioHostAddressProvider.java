package io.alio.trino;

import com.google.inject.Inject;
import io.airlift.log.Logger;
import io.trino.filesystem.cache.CachingHostAddressProvider;
import io.trino.spi.HostAddress;
import java.util.List;
import java.util.Objects;

/** Trino's hook for the hosts of a split. Whatever goes wrong behind it, Trino's own choice stands: an exception here would fail the query. */
final class AlioHostAddressProvider implements CachingHostAddressProvider {
    private static final Logger LOG = Logger.get(AlioHostAddressProvider.class);

    private final SplitHosts hosts;
    private final Rarely rarely = new Rarely();

    @Inject
    AlioHostAddressProvider(SplitHosts hosts) {
        this.hosts = Objects.requireNonNull(hosts, "hosts");
    }

    @Override
    public List<HostAddress> getHosts(String path, List<HostAddress> defaultAddresses) {
        try {
            List<HostAddress> chosen = hosts.choose(path, defaultAddresses);
            if (chosen != null) {
                return chosen;
            }
        } catch (RuntimeException e) {
            rarely.run(() -> LOG.warn(e, "choosing the hosts of a split failed; Trino's own choice is used"));
        }
        return defaultAddresses;
    }
}
