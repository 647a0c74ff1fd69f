package io.alio.client;

/** {@link AffinityMetrics} as JMX shows them. */
public interface AffinityMXBean extends AffinityMetrics {}
