package io.alio.client;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Threads that read random ranges of files through a sidecar, whatever is done to it meanwhile, and compare every byte with the origin's. itest runs it and is
 * its judge: each line on standard input asks for a line of counters, "stop" ends it.
 *
 * <p>Arguments: name=value. address, token, directories (with ':' between them), origin (a folder with the objects as files), mount, threads, seed, mapping,
 * guard, fill (client-filled), interrupt (threads are interrupted now and then).
 */
public final class Readers {
    private final Map<String, String> arguments = new TreeMap<>();
    private final Map<String, byte[]> content = new TreeMap<>();
    private final List<String> names;
    private final AlioClient client;
    private final AtomicReference<String> failure = new AtomicReference<>();
    private final AtomicLong reads = new AtomicLong();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicLong opens = new AtomicLong();
    private final AtomicLong slowest = new AtomicLong();
    private final AtomicLong longestOpen = new AtomicLong();
    private volatile boolean stop;

    private Readers(String[] args) throws IOException {
        for (String a : args) {
            int eq = a.indexOf('=');
            arguments.put(a.substring(0, eq), a.substring(eq + 1));
        }
        try (java.util.stream.Stream<Path> files = Files.list(Paths.get(argument("origin", "")))) {
            for (Path p : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
                content.put(p.getFileName().toString(), Files.readAllBytes(p));
            }
        }
        names = new ArrayList<>(content.keySet());
        AlioOptions o = AlioOptions.of(argument("address", "")).token(argument("token", "")).mapping(Boolean.parseBoolean(argument("mapping", "false")))
                .guard(AlioOptions.Guard.valueOf(argument("guard", "COLD"))).touchMillis(100).refreshMillis(5).backoffMillis(Long.parseLong(argument("backoff", "200"))).tag("Readers").jmxName("readers")
                .controlMillis(Long.parseLong(argument("control", "20"))).openSegments(6).warnings(System.err::println);
        if (!argument("directories", "").isEmpty()) {
            o.directories(argument("directories", "").split(":"));
        }
        client = AlioClient.create(o);
    }

    private String argument(String name, String otherwise) {
        return arguments.getOrDefault(name, otherwise);
    }

    public static void main(String[] args) throws Exception {
        System.exit(new Readers(args).run());
    }

    private int run() throws Exception {
        long seed = Long.parseLong(argument("seed", "1"));
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < Integer.parseInt(argument("threads", "8")); i++) {
            int n = i;
            Thread t = new Thread(() -> read(new java.util.Random(seed * 1000 + n)), "reader " + n);
            threads.add(t);
            t.start();
        }
        Thread interrupter = new Thread(() -> interrupt(threads, new java.util.Random(seed)));
        interrupter.setDaemon(true);
        if (Boolean.parseBoolean(argument("interrupt", "false"))) {
            interrupter.start();
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null && !line.equals("stop"); line = in.readLine()) {
            System.out.println(report());
        }
        stop = true;
        for (Thread t : threads) {
            t.join();
        }
        client.close();
        client.close();
        System.out.println(report());
        if (failure.get() != null) {
            System.out.println("FAILED " + failure.get());
        }
        return failure.get() == null ? 0 : 1;
    }

    private void interrupt(List<Thread> threads, java.util.Random random) {
        while (!stop) {
            threads.get(random.nextInt(threads.size())).interrupt();
            java.util.concurrent.locks.LockSupport.parkNanos(2_000_000);
        }
    }

    /** The counters, as name=value, with a comma between them. */
    private String report() throws ReflectiveOperationException {
        Map<String, Object> all = new TreeMap<>();
        for (Method m : AlioMetrics.class.getMethods()) {
            all.put(m.getName().substring(3), m.invoke(client.metrics()));
        }
        all.put("Reads", reads);
        all.put("Bytes", bytes);
        all.put("Opens", opens);
        all.put("SlowestMicros", slowest.getAndSet(0) / 1000);
        all.put("SlowestOpenMicros", longestOpen.getAndSet(0) / 1000);
        all.put("Failed", failure.get() == null ? 0 : 1);
        return all.toString().replaceAll("[{} ]", "");
    }

    private void read(java.util.Random random) {
        while (!stop && failure.get() == null) {
            String name = names.get(random.nextInt(10) < 5 ? 0 : random.nextInt(names.size())); // many threads on one file
            try {
                readSome(name, random);
            } catch (Throwable e) {
                fail(name + ": " + e + " at " + Arrays.toString(e.getStackTrace()));
            }
        }
    }

    private void fail(String what) {
        failure.compareAndSet(null, what);
    }

    private void readSome(String name, java.util.Random random) throws IOException {
        byte[] want = content.get(name);
        OriginReader origin = (o, position, b, offset, length) -> {
            if (o.size() != want.length) {
                throw new IOException("size " + o.size());
            }
            System.arraycopy(want, (int) position, b, offset, length);
        };
        OpenHints hints = OpenHints.NONE.withLength(want.length).withTag("a query");
        if (Boolean.parseBoolean(argument("fill", "false"))) {
            hints = hints.withFill(new ClientFill("etag", "1", want.length, origin));
        }
        long begun = System.nanoTime();
        Opened o = client.open(argument("mount", "lake"), name, hints);
        longestOpen.accumulateAndGet(System.nanoTime() - begun, Math::max);
        opens.incrementAndGet();
        if (!o.isAvailable()) {
            Thread.yield();
            reads.incrementAndGet(); // the engine reads by itself; the client has counted it
            byte[] copy = want.clone();
            bytes.addAndGet(copy.length);
            return;
        }
        try (AlioFile f = o.file()) {
            for (int i = 0; i < 8 && !stop; i++) {
                compare(name, f, want, random, origin);
            }
        }
    }

    private void compare(String name, AlioFile f, byte[] want, java.util.Random random, OriginReader origin) throws IOException {
        int at = random.nextInt(want.length + 10);
        int n = 1 + random.nextInt(new int[] {100, 50_000, 600_000, 3_000_000}[random.nextInt(4)]);
        int expect = at >= want.length ? -1 : Math.min(n, want.length - at);
        int skip = random.nextInt(9);
        byte[] b = new byte[n + skip + 5];
        Arrays.fill(b, (byte) 0x5a);
        boolean heap = random.nextInt(3) > 0;
        ByteBuffer direct = heap ? null : ByteBuffer.allocateDirect(n);
        long begun = System.nanoTime();
        int got = heap ? f.read(at, b, skip, n, origin) : f.read(at, direct, origin);
        slowest.accumulateAndGet(System.nanoTime() - begun, Math::max);
        Thread.interrupted();
        if (!heap) {
            direct.flip();
            direct.get(b, skip, direct.remaining());
        }
        boolean same = got == expect;
        for (int i = 0; same && i < b.length; i++) {
            boolean inside = i >= skip && i < skip + Math.max(0, expect);
            same = b[i] == (inside ? want[at + i - skip] : 0x5a);
        }
        if (!same) {
            fail("BYTES of " + name + ": " + n + " at " + at + " into " + (heap ? "an array" : "a buffer") + ": " + got + " for " + expect);
        }
        reads.incrementAndGet();
        bytes.addAndGet(Math.max(0, got));
    }
}
