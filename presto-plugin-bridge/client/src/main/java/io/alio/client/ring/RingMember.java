package io.alio.client.ring;

/** One sidecar beside one worker. */
public final class RingMember {
    private final String name;
    private final String zone;
    private final int weight;
    private final boolean draining;
    private final boolean excluded;
    private final String sidecar;
    private final String worker;

    RingMember(String name, String zone, int weight, boolean draining, boolean excluded, String sidecar, String worker) {
        this.name = name;
        this.zone = zone;
        this.weight = weight;
        this.draining = draining;
        this.excluded = excluded;
        this.sidecar = sidecar;
        this.worker = worker;
    }

    /** Who it is, for good; unique in the fleet. */
    public String name() {
        return name;
    }

    /** Its zone; empty if the fleet has none. */
    public String zone() {
        return zone;
    }

    public int weight() {
        return weight;
    }

    /** It owns nothing more, and can still be read from. */
    public boolean draining() {
        return draining;
    }

    /** It is left out of answers for now. */
    public boolean excluded() {
        return excluded;
    }

    /** host:port of its peer door. */
    public String sidecar() {
        return sidecar;
    }

    /** host:port by which an engine knows the worker beside it. */
    public String worker() {
        return worker;
    }

    @Override
    public String toString() {
        return name;
    }
}
