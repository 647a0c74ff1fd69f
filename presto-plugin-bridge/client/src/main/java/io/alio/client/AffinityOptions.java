package io.alio.client;

import java.util.Objects;
import java.util.function.Consumer;
import javax.net.ssl.SSLContext;

/** Configures an {@link AffinityClient}: {@code AffinityOptions.of("/run/alio/alio.sock")}. Not for use by several threads until the client is made. */
public final class AffinityOptions {
    private final AlioOptions control;
    private String jmxName = "";
    private Consumer<String> warnings;

    private AffinityOptions(AlioOptions control) {
        this.control = control.controlMillis(5);
    }

    /** Where the sidecar beside the coordinator listens, or {@code alio affinity}: the path of its Unix socket, or host:port of its TCP door, which wants a {@link #token}. */
    public static AffinityOptions of(String address) {
        return new AffinityOptions(AlioOptions.of(address));
    }

    /** Sent with every call, for a service that wants one (TCP). */
    public AffinityOptions token(String value) {
        control.token(value);
        return this;
    }

    /** TLS to a TCP door (default: none). The door's certificate must be of the host in the address, and one that context trusts. */
    public AffinityOptions tls(SSLContext context) {
        control.tls(context);
        return this;
    }

    /** How long one batch may take (default 5 ms); then the epoch that is held here answers. */
    public AffinityOptions deadlineMillis(long value) {
        control.controlMillis(value);
        return this;
    }

    /** The longest pause between attempts to connect (default 2 s). */
    public AffinityOptions backoffMillis(long value) {
        control.backoffMillis(value);
        return this;
    }

    /** Registers the counters with the platform's JMX server as {@code io.alio:type=Affinity,name=<value>} ("": not; the default). */
    public AffinityOptions jmxName(String value) {
        jmxName = Objects.requireNonNull(value, "jmxName");
        return this;
    }

    /** Takes rare warnings, a sentence each, at most one of a kind a minute. Default: java.util.logging's "io.alio.client". */
    public AffinityOptions warnings(Consumer<String> value) {
        warnings = value;
        return this;
    }

    /** What of it is for calls. */
    AlioOptions control() {
        return control.copy();
    }

    String jmxName() {
        return jmxName;
    }

    Consumer<String> warnings() {
        return warnings;
    }
}
