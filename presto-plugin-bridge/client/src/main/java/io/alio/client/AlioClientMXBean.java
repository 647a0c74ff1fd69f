package io.alio.client;

/** {@link AlioMetrics} as JMX shows them. */
public interface AlioClientMXBean extends AlioMetrics {}
