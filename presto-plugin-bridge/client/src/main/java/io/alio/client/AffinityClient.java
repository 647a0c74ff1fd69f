package io.alio.client;

import io.alio.client.ring.Ring;
import io.alio.client.transport.ProtocolException;
import io.alio.client.wire.ProtoWriter;
import io.alio.client.wire.Replies;
import io.alio.client.wire.Requests;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import javax.management.ObjectName;

/**
 * Says on which workers an engine should run its splits, by the affinity service of the sidecar beside the coordinator (or {@code alio affinity}). The service is asked, once for a
 * batch and for a few milliseconds: so it learns which sections are hot. When it does not answer, the last epoch that it has sent does, which a thread of the client's own watches; and
 * before there is one, nobody: the engine chooses. All methods may be called in parallel, and none throws or waits for longer than the deadline.
 */
public final class AffinityClient implements AutoCloseable {
    private static final int MOST = 10_000; // splits in one call, the service's own limit

    /** Members by the addresses of their workers, and whether the service has named them or the epoch that is held here. */
    private static final class Answer {
        final List<String> workers;
        final boolean asked;

        Answer(List<String> workers, boolean asked) {
            this.workers = workers;
            this.asked = asked;
        }
    }

    private final AffinityCounters counters = new AffinityCounters();
    private final Warnings warnings;
    private final String address;
    private final long deadline; // nanoseconds
    private final Control control;
    private final EpochWatch watch;
    private ObjectName jmx;

    private AffinityClient(AffinityOptions options, AlioOptions calls) {
        warnings = new Warnings(options.warnings());
        address = calls.address();
        deadline = calls.controlNanos();
        control = new Control(calls, Control.Service.AFFINITY, counters.calls, warnings);
        watch = new EpochWatch(Collections.singletonList(control), counters.epochs, warnings, address);
        counters.ring = watch::ring;
        counters.calls.breakerOpen = () -> control.breaker.isOpen() ? 1 : 0;
    }

    /**
     * Makes a client, and starts the thread that watches. That the service is not there is no error.
     *
     * @throws IllegalArgumentException names every fault of the options
     */
    public static AffinityClient create(AffinityOptions options) {
        AlioOptions calls = options.control();
        calls.validate();
        AffinityClient c = new AffinityClient(options, calls);
        if (!options.jmxName().isEmpty()) {
            c.jmx = Beans.register(c.counters, "Affinity", options.jmxName(), text -> c.warnings.warn("jmx", text));
        }
        c.watch.start();
        return c;
    }

    /**
     * Places splits on nodes of an engine: for each the nodes of the members that own it, in order, as many as asked for, or more if its section is hot. Owners whose worker is not
     * among the nodes are passed over; who stands by for them comes instead. None: the engine chooses by itself.
     *
     * @param splits null stands for one that belongs to no mount
     * @param nodes by host:port in lower case, as members announce them
     */
    public <H> List<List<H>> place(List<FileSplit> splits, int hosts, Map<String, H> nodes) {
        long begun = System.nanoTime();
        List<List<H>> out = new ArrayList<>(Collections.nCopies(splits.size(), Collections.<H>emptyList()));
        try {
            Answer[] answers = owners(splits, hosts);
            for (int i = 0; i < answers.length; i++) {
                if (answers[i] != null) {
                    out.set(i, nodesOf(splits.get(i), answers[i], hosts, nodes));
                }
            }
        } catch (RuntimeException e) { // a fault of ours is no reason to fail a query
            warnings.warn("fault", "splits are left to the engine, since placing them failed: " + e);
        }
        counters.left.add(out.stream().filter(List::isEmpty).count());
        counters.batches.increment();
        counters.slowest.accumulate(System.nanoTime() - begun);
        return out;
    }

    private <H> List<H> nodesOf(FileSplit split, Answer answer, int hosts, Map<String, H> nodes) {
        List<H> found = new ArrayList<>(answer.workers.size());
        add(found, answer.workers, answer.workers.size(), nodes);
        boolean fromEpoch = !answer.asked;
        if (found.size() < answer.workers.size()) {
            counters.missing.add(answer.workers.size() - found.size());
            if (!nodes.isEmpty()) {
                warnings.warn("missing", "some of the workers " + answer.workers + " are no nodes of the engine (its nodes: " + some(nodes.keySet()) + "); others stand in. Are they up, and does "
                        + "affinity.worker of each sidecar say the host and port by which the coordinator knows the worker beside it?");
            }
            Answer all = found.size() < hosts ? byEpoch(split, Integer.MAX_VALUE) : null;
            if (all != null) {
                fromEpoch |= found.isEmpty();
                add(found, all.workers, hosts, nodes);
            }
        }
        if (!found.isEmpty()) {
            (fromEpoch ? counters.watched : counters.asked).increment();
        }
        return found;
    }

    private static <H> void add(List<H> found, List<String> workers, int most, Map<String, H> nodes) {
        for (String w : workers) {
            H node = nodes.get(w.toLowerCase(Locale.ROOT));
            if (node != null && found.size() < most && !found.contains(node)) {
                found.add(node);
            }
        }
    }

    private static String some(Iterable<String> names) {
        StringBuilder b = new StringBuilder();
        for (String n : names) {
            if (b.length() > 200) {
                return b.append(", …").toString();
            }
            b.append(b.length() == 0 ? "" : ", ").append(n);
        }
        return b.toString();
    }

    /** For each split its owners; null: nobody knows. */
    private Answer[] owners(List<FileSplit> splits, int most) {
        Answer[] out = new Answer[splits.size()];
        List<Integer> ask = new ArrayList<>();
        for (int i = 0; i < out.length; i++) {
            FileSplit s = splits.get(i);
            if (s != null && isText(s.mount()) && isText(s.path())) {
                ask.add(i);
            }
        }
        long until = System.nanoTime() + deadline;
        for (int from = 0; from < ask.size(); from += MOST) {
            List<Integer> batch = ask.subList(from, Math.min(from + MOST, ask.size()));
            if (!byService(splits, batch, most, until - System.nanoTime(), out)) {
                for (int i : ask.subList(from, ask.size())) {
                    out[i] = byEpoch(splits.get(i), most);
                }
                break;
            }
        }
        return out;
    }

    /** Half a surrogate pair is none: on the way to the service it would become a question mark, and so another file. */
    private static boolean isText(String s) {
        return StandardCharsets.UTF_8.newEncoder().canEncode(s);
    }

    /** Asks the service for some of the splits; false: it has not answered. */
    private boolean byService(List<FileSplit> splits, List<Integer> batch, int most, long nanos, Answer[] out) {
        if (nanos <= 0) {
            return false;
        }
        List<ProtoWriter> wire = new ArrayList<>(batch.size());
        for (int i : batch) {
            FileSplit s = splits.get(i);
            wire.add(Requests.split(s.mount(), s.path(), s.offset(), s.length()));
        }
        try {
            Replies.Assigned a = Replies.Assigned.parse(control.call("Assign", Requests.assign(wire, most), Control.Patience.of(nanos)));
            if (a.assignments.size() != batch.size()) {
                throw new ProtocolException(batch.size() + " splits were asked about and " + a.assignments.size() + " answered");
            }
            List<Answer> answers = new ArrayList<>(batch.size());
            for (int[] owners : a.assignments) {
                answers.add(owners.length == 0 ? null : new Answer(workers(a.workers, owners), true));
            }
            for (int i = 0; i < answers.size(); i++) {
                out[batch.get(i)] = answers.get(i);
            }
            return true;
        } catch (ProtocolException e) {
            counters.calls.senseless.increment();
            warnings.warn("senseless", address + ": the affinity service's answer makes no sense: " + e.getMessage() + "; splits are placed by the last epoch, else by the engine");
        } catch (Failure e) {
            refused(e);
        }
        return false;
    }

    private static List<String> workers(List<String> members, int[] owners) throws ProtocolException {
        List<String> out = new ArrayList<>(owners.length);
        for (int o : owners) {
            if (o < 0 || o >= members.size()) {
                throw new ProtocolException("owner " + o + " of " + members.size());
            }
            out.add(members.get(o));
        }
        return out;
    }

    /** That it does not answer, the breaker tells by itself. */
    private void refused(Failure e) {
        if (e.reason() == Unavailable.UNSUPPORTED) {
            warnings.warn("refused", address + " has no affinity service: give that sidecar an affinity section, or the engine the address of one that has it. Splits are placed by "
                    + "the engine (" + e.getMessage() + ")");
        } else if (e.reason() != Unavailable.UNREACHABLE && e.reason() != Unavailable.CLOSED) {
            warnings.warn("refused", address + ": splits are placed by the last epoch, else by the engine: " + e.getMessage());
        }
    }

    /** Looks owners up in the epoch that is held here; null: there is none, nobody serves in it, or the split is malformed. */
    private Answer byEpoch(FileSplit s, int most) {
        Ring ring = watch.ring();
        if (ring == null || ring.most() == 0) {
            return null;
        }
        int[] slots;
        try {
            slots = ring.owners(ring.key(s.mount(), s.path(), s.offset()), Math.min(Math.max(most, 1), ring.most()));
        } catch (IllegalArgumentException e) {
            return null;
        }
        List<String> workers = new ArrayList<>(slots.length);
        for (int slot : slots) {
            workers.add(ring.members().get(slot).worker());
        }
        return new Answer(workers, false);
    }

    public AffinityMetrics metrics() {
        return counters;
    }

    /** Ends the watch. Splits that are placed later are left to the engine, or placed by the last epoch. It is safe twice. */
    @Override
    public void close() {
        control.close();
        watch.close();
        Beans.unregister(jmx);
    }
}
