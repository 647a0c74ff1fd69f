package io.alio.client;

import io.alio.client.transport.ProtocolException;
import io.alio.client.wire.ProtoWriter;
import io.alio.client.wire.Replies;
import io.alio.client.wire.Requests;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.management.ObjectName;

/**
 * Reads through one sidecar. All methods may be called in parallel, and none throws because of the sidecar: what it cannot serve is answered as not
 * available, and the caller goes to its own file system.
 */
public final class AlioClient implements AutoCloseable {
    private static final int MAX_TAG = 128;
    private static final long TOUCH_DEADLINE = 1_000_000_000;

    final AlioOptions options;
    final Counters counters = new Counters();
    final Control control;
    final Session session;
    final Views views;
    final LocalReader local;
    final Touches touches;
    final Filler filler;
    private final Warnings warnings;
    private final Segments segments;
    private final List<Directory> directories = new ArrayList<>();
    private final ScheduledThreadPoolExecutor background;
    private final AtomicBoolean closing = new AtomicBoolean();
    private ObjectName jmx;

    private AlioClient(AlioOptions options) {
        this.options = options;
        warnings = new Warnings(options.warnings());
        background = new ScheduledThreadPoolExecutor(2, r -> {
            Thread t = new Thread(r, "alio-client background");
            t.setDaemon(true);
            return t;
        });
        background.setKeepAliveTime(30, TimeUnit.SECONDS);
        background.allowCoreThreadTimeOut(true);
        background.setRemoveOnCancelPolicy(true);
        background.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
        options.directories().forEach(d -> directories.add(new Directory(d, options.localReaders())));
        control = new Control(options, Control.Service.SIDECAR, counters, warnings);
        segments = new Segments(options.openSegments(), options.localNanos(), background);
        session = new Session(options, control, segments, directories, counters, warnings);
        views = new Views(options.views(), options.viewMemory());
        local = new LocalReader(segments, options, session::suspectDirectories, warnings);
        touches = new Touches(background, options.touchNanos(), counters, segments, () -> tell(Math.max(options.controlNanos(), TOUCH_DEADLINE)));
        filler = new Filler(this, background, warnings);
        counters.openSegments = segments::open;
        counters.mappedBytes = segments::mappedBytes;
        counters.views = views::count;
        counters.viewBytes = views::bytes;
        counters.suspicions = control.breaker::suspicions;
        counters.breakerOpen = () -> control.breaker.isOpen() ? 1 : 0;
    }

    /**
     * Makes a client. It connects to nothing: the first call does. That the sidecar is not there is no error here, nor is a directory that does not exist
     * (yet). Keep one client for each process and sidecar.
     *
     * @throws IllegalArgumentException names every fault of the options
     */
    public static AlioClient create(AlioOptions options) {
        AlioOptions o = options.copy();
        o.validate();
        AlioClient c = new AlioClient(o);
        if (!o.jmxName().isEmpty()) {
            c.jmx = Beans.register(c.counters, "Client", o.jmxName(), text -> c.warnings.warn("jmx", text));
        }
        return c;
    }

    /**
     * Opens a file at its present version, as fresh as the sidecar's rules demand. While what was told of it is fresh, no call is made. A client-filled file is
     * available whether or not the sidecar is.
     */
    public Opened open(String mount, String path, OpenHints hints) {
        return openAll(Collections.singletonList(new OpenRequest(mount, path, hints))).get(0);
    }

    /** Opens files in as few calls as the sidecar allows. The answers are in the order of the requests. */
    public List<Opened> openAll(List<OpenRequest> files) {
        Opened[] out = new Opened[files.size()];
        List<Integer> ask = new ArrayList<>(); // those that nothing fresh is known of
        for (int i = 0; i < out.length; i++) {
            OpenRequest r = files.get(i);
            View v = control.isClosed() ? null : views.fresh(new View.Key(r.mount(), r.path(), r.hints().fill()), r.hints().etag());
            if (control.isClosed()) {
                out[i] = unavailable(r, new Failure(Unavailable.CLOSED, "the client is closed"));
            } else if (v != null && (r.hints().length() < 0 || r.hints().length() == v.object.size())) {
                out[i] = opened(v, r);
            } else {
                ask.add(i);
            }
        }
        openThese(files, ask, out);
        // A file that changed while the sidecar asked about it has another version to be told of.
        ask.removeIf(i -> out[i].reason() != Unavailable.CHANGED || out[i].message().startsWith(WRONG_LENGTH));
        openThese(files, ask, out);
        return Arrays.asList(out);
    }

    private static final String WRONG_LENGTH = "the file has ";

    private Opened opened(View v, OpenRequest r) {
        long length = r.hints().length();
        if (length >= 0 && length != v.object.size()) {
            return unavailable(r, new Failure(Unavailable.CHANGED, WRONG_LENGTH + v.object.size() + " bytes, not " + length));
        }
        counters.openedFiles.increment();
        return Opened.of(new AlioFile(this, v, r.hints().fill(), tag(r.hints().tag())));
    }

    private Opened unavailable(OpenRequest r, Failure e) {
        counters.bypassedOpens.increment();
        String what = e.reason() == Unavailable.CHANGED && e.getMessage().startsWith(WRONG_LENGTH) ? e.getMessage()
                : "open \"" + r.path() + "\" in \"" + r.mount() + "\": " + e.getMessage();
        return Opened.unavailable(e.reason(), what, e.isAbsent());
    }

    private void openThese(List<OpenRequest> files, List<Integer> ask, Opened[] out) {
        for (int from = 0; from < ask.size(); ) {
            from += openSome(files, ask.subList(from, ask.size()), out);
        }
    }

    /** Opens as many as go into one call, and returns how many those are. Files of different tags do not go together. */
    private int openSome(List<OpenRequest> files, List<Integer> ask, Opened[] out) {
        String tag = tag(files.get(ask.get(0)).hints().tag());
        int n = 1;
        Failure failure = null;
        List<Answer> answers = null;
        try {
            int most = session.current(control.origin).maxFiles;
            while (n < ask.size() && n < most && tag(files.get(ask.get(n)).hints().tag()).equals(tag)) {
                n++;
            }
            List<OpenRequest> these = new ArrayList<>();
            for (int i : ask.subList(0, n)) {
                these.add(files.get(i));
            }
            answers = ask(these, false, tag, control.origin);
        } catch (Failure e) {
            failure = e;
            n = ask.size(); // what failed for these fails for all
        }
        for (int k = 0; k < n; k++) {
            OpenRequest r = files.get(ask.get(k));
            Answer a = failure != null ? new Answer(failure) : answers.get(k);
            out[ask.get(k)] = openOne(r, a);
        }
        return n;
    }

    private Opened openOne(OpenRequest r, Answer a) {
        ClientFill fill = r.hints().fill();
        View.Key key = new View.Key(r.mount(), r.path(), fill);
        if (a.failure == null) {
            Decoded d = a.decoded;
            AlioObject o = d.object;
            AlioObject named = new AlioObject(r.mount(), r.path(), o.version(), o.etag(), o.size(), o.modifiedMillis());
            if (fill != null && o.size() != fill.size()) {
                a = new Answer(new Failure(Unavailable.INVALID, "the sidecar takes it for " + o.size() + " bytes"));
            } else {
                View v = views.put(new View(key, named, d.settled, d.table, a.sent, fill != null ? View.FOREVER : d.freshFor), d.told);
                v.untold(spans(r.hints().ranges()), d.told);
                return opened(v, r);
            }
        }
        if (fill != null && a.failure.reason() != Unavailable.CLOSED) { // the file is known all the same
            AlioObject o = new AlioObject(r.mount(), r.path(), fill.version(), "", fill.size(), 0);
            return opened(new View(key, o, fill.size(), PageTable.EMPTY, 0, 0), r);
        }
        return unavailable(r, a.failure);
    }

    private static List<Span> spans(List<ByteRange> ranges) {
        List<Span> out = new ArrayList<>();
        for (ByteRange r : ranges) {
            out = Span.add(out, Span.of(r));
        }
        return out;
    }

    /** What was told of one file, or why nothing was. */
    static final class Answer {
        final Decoded decoded;
        final Failure failure;
        final long sent; // when it was asked for

        Answer(Failure failure) {
            this.decoded = null;
            this.failure = failure;
            this.sent = 0;
        }

        Answer(Decoded decoded, long sent) {
            this.decoded = decoded;
            this.failure = null;
            this.sent = sent;
        }
    }

    static ProtoWriter wire(ClientFill f) {
        return f == null ? null : Requests.fill(f.kind(), f.version(), f.size());
    }

    /** Makes one Open call, which also carries touches, and takes what it tells of segments. */
    List<Answer> ask(List<OpenRequest> files, boolean claim, String tag, Control.Patience p) throws Failure {
        List<ProtoWriter> wire = new ArrayList<>();
        for (OpenRequest r : files) {
            List<long[]> ranges = new ArrayList<>();
            for (ByteRange range : r.hints().ranges()) {
                ranges.add(new long[] {range.offset(), range.length()});
            }
            wire.add(Requests.openFile(r.mount(), r.path(), r.hints().etag(), ranges, wire(r.hints().fill()), claim));
        }
        long since = session.generation();
        long sent = System.nanoTime();
        Replies.Open got;
        try {
            got = Replies.Open.parse(control.call("Open", Requests.open(wire, since, touches.take(), tag), p));
            if (got.files.size() != files.size()) {
                throw new ProtocolException(files.size() + " files were asked for and " + got.files.size() + " answered");
            }
        } catch (ProtocolException e) {
            throw senseless(e);
        }
        Segment[] named = session.apply(since, got, p);
        List<Answer> answers = new ArrayList<>();
        for (int i = 0; i < files.size(); i++) {
            Replies.OpenedFile f = got.files.get(i);
            if (f.failed) {
                answers.add(new Answer(Failure.ofFile(f.errorCode, f.errorMessage, f.errorAsked)));
                continue;
            }
            try {
                answers.add(new Answer(new Decoded(f, files.get(i).mount(), named), sent));
            } catch (ProtocolException e) {
                answers.add(new Answer(senseless(e)));
            }
        }
        return answers;
    }

    private Failure senseless(ProtocolException e) {
        counters.senseless.increment();
        return new Failure(Unavailable.UNREACHABLE, "the sidecar's answer makes no sense: " + e.getMessage());
    }

    private void tell(long nanos) {
        try {
            ask(Collections.emptyList(), false, options.tag(), Control.Patience.of(nanos));
        } catch (Failure e) {
            // a lost message costs nothing but hit ratio
        }
    }

    /** Asks where the pages of some ranges lie now; true if any of them has a place. */
    boolean refresh(View v, ClientFill fill, List<Span> ranges, String tag) {
        List<Span> told = Collections.emptyList();
        boolean brought = false;
        try {
            OpenHints hints = OpenHints.NONE.withEtag(v.object.etag()).withFill(fill).withRanges(byteRanges(ranges));
            Answer a = ask(Collections.singletonList(new OpenRequest(v.object.mount(), v.object.path(), hints)), false, tag, control.control).get(0);
            if (a.failure != null) {
                return false;
            }
            AlioObject o = a.decoded.object;
            if (fill == null && !o.version().equals(v.object.version()) || o.size() != v.object.size()) {
                v.changed = true;
                views.drop(v);
                return false;
            }
            told = a.decoded.told;
            v.update(a.decoded.table, told, views.tableLimit());
            views.refreshed(v);
            brought = a.decoded.table.count > 0;
            return brought;
        } catch (Failure e) {
            return false;
        } finally {
            v.refreshed(told, brought, options.refreshNanos());
        }
    }

    static List<ByteRange> byteRanges(List<Span> spans) {
        List<ByteRange> out = new ArrayList<>();
        for (Span s : spans) {
            out.add(new ByteRange(s.from, s.to - s.from));
        }
        return out;
    }

    private String tag(String of) {
        String t = of.isEmpty() ? options.tag() : of;
        byte[] b = t.getBytes(StandardCharsets.UTF_8);
        if (b.length <= MAX_TAG) {
            return t;
        }
        int n = MAX_TAG;
        while ((b[n] & 0xc0) == 0x80) {
            n--; // not within a character
        }
        return new String(b, 0, n, StandardCharsets.UTF_8);
    }

    /** An object's present version; empty if the sidecar cannot tell: ask your own file system. */
    public Optional<AlioObject> stat(String mount, String path) {
        try {
            Replies.ObjectInfo o = Replies.parseStat(control.call("Stat", Requests.stat(mount, path), control.origin));
            return o == null ? Optional.empty() : Optional.of(object(mount, o));
        } catch (Failure e) {
            return Optional.empty();
        } catch (ProtocolException e) {
            senseless(e);
            return Optional.empty();
        }
    }

    /** Whether an object is there, and at which version; empty if the sidecar cannot tell: ask your own file system. */
    public Optional<Presence> presence(String mount, String path) {
        try {
            Replies.ObjectInfo o = Replies.parseStat(control.call("Stat", Requests.stat(mount, path), control.origin));
            return o == null ? Optional.empty() : Optional.of(Presence.of(object(mount, o)));
        } catch (Failure e) {
            return e.reason() == Unavailable.NOT_FOUND ? Optional.of(Presence.ABSENT) : Optional.empty();
        } catch (ProtocolException e) {
            senseless(e);
            return Optional.empty();
        }
    }

    private static AlioObject object(String mount, Replies.ObjectInfo o) {
        return new AlioObject(mount, o.path, o.version, o.etag, o.size, o.modifiedMillis);
    }

    /**
     * One page of a listing; empty if the sidecar cannot tell.
     *
     * @param delimiter "" lists everything below; "/" folds deeper ones
     * @param token the page before's; then startAfter does not count
     * @param maxKeys 0: the origin's default
     */
    public Optional<Listing> list(String mount, String prefix, String delimiter, String startAfter, String token, int maxKeys) {
        try {
            Replies.ObjectList l = Replies.ObjectList.parse(
                    control.call("List", Requests.list(mount, prefix, delimiter, startAfter, token, maxKeys), control.origin));
            List<AlioObject> objects = new ArrayList<>();
            l.objects.forEach(o -> objects.add(object(mount, o)));
            return Optional.of(new Listing(objects, l.commonPrefixes, l.nextToken));
        } catch (Failure e) {
            return Optional.empty();
        } catch (ProtocolException e) {
            senseless(e);
            return Optional.empty();
        }
    }

    /** What the sidecar says of itself, as last asked; empty if it does not answer. */
    public Optional<SidecarStatus> status() {
        try {
            Session.Told t = session.current(control.control);
            return Optional.of(new SidecarStatus(t.build, new ArrayList<>(t.mounts)));
        } catch (Failure e) {
            return Optional.empty();
        }
    }

    /**
     * Says that something was written, renamed or removed: what was heard of it until now is not believed any more, here and by the sidecar. False if the
     * sidecar did not take it; its answers may then be as old as its rules allow.
     *
     * @param prefix everything whose path begins so
     */
    public boolean invalidate(String mount, String path, boolean prefix) {
        views.invalidate(mount, path, prefix);
        try {
            control.call("Invalidate", Requests.invalidate(mount, path, prefix), control.insisting);
            return true;
        } catch (Failure e) {
            return false;
        }
    }

    public AlioMetrics metrics() {
        return counters;
    }

    Segments segments() {
        return segments;
    }

    /**
     * Tells the sidecar what was read lately, and lets go of everything. Reads that are under way end by themselves; later ones go to the caller's
     * {@link OriginReader}. It is safe twice.
     */
    @Override
    public void close() {
        if (!closing.compareAndSet(false, true)) {
            return;
        }
        if (touches.close()) {
            tell(5 * options.controlNanos());
        }
        control.close();
        segments.close();
        background.shutdown();
        directories.forEach(d -> d.device.close());
        Beans.unregister(jmx);
    }
}
