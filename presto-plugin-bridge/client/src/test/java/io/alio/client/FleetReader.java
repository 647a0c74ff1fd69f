package io.alio.client;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Reads files through the sidecars of a fleet, by TLS, and compares every byte; itest runs it and is its judge. Its arguments are token, the authority's PEM file, a folder with the objects as files,
 * and doors of members. Each line on standard input, "read SEED PIECES FALLBACK", has it open each file and read it in so many random pieces, and is answered by who has answered; "first
 * NAME" has it open a file and read its first byte, "rest NAME" read the rest of it, a MiB at a time, and is answered by how many pieces were right and how many had changed; "stop" ends it.
 */
public final class FleetReader {
    private final FleetClient fleet;
    private final Map<String, byte[]> content = new TreeMap<>();
    private final Map<String, FleetFile> open = new HashMap<>();

    private FleetReader(FleetClient fleet, Path folder) throws IOException {
        this.fleet = fleet;
        try (java.util.stream.Stream<Path> files = Files.list(folder)) {
            for (Path p : (Iterable<Path>) files::iterator) {
                content.put(p.getFileName().toString(), Files.readAllBytes(p));
            }
        }
    }

    public static void main(String[] args) throws Exception {
        FleetOptions o = FleetOptions.of(Arrays.copyOfRange(args, 3, args.length)).token(args[0]).tls(trusting(args[1])).firstEpochMillis(20_000).controlMillis(5_000).warnings(System.err::println);
        try (FleetClient fleet = FleetClient.create(o)) {
            FleetReader r = new FleetReader(fleet, Paths.get(args[2]));
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = in.readLine(); line != null && !line.equals("stop"); line = in.readLine()) {
                System.out.println(r.answer(line.split(" ")));
            }
        }
    }

    private static SSLContext trusting(String authority) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (InputStream in = new FileInputStream(authority)) {
            trusted.setCertificateEntry("authority", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory f = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        f.init(trusted);
        SSLContext c = SSLContext.getInstance("TLS");
        c.init(null, f.getTrustManagers(), null);
        return c;
    }

    private String answer(String[] words) {
        try {
            switch (words[0]) {
                case "first":
                    open.put(words[1], fleet.open("lake", words[1], OpenHints.NONE));
                    return "read " + open.get(words[1]).read(0, new byte[1], 0, 1, null);
                case "rest":
                    return rest(open.remove(words[1]), content.remove(words[1]));
                default:
                    return pieces(words);
            }
        } catch (IOException | RuntimeException e) {
            return e.toString().replace('\n', ' ');
        }
    }

    private static String rest(FleetFile f, byte[] want) throws IOException {
        int right = 0;
        int changed = 0;
        for (int at = 0; at < want.length; at += 1 << 20) {
            byte[] got = new byte[Math.min(1 << 20, want.length - at)];
            try {
                if (f.read(at, got, 0, got.length, null) != got.length || !Arrays.equals(got, Arrays.copyOfRange(want, at, at + got.length))) {
                    return "wrong at " + at;
                }
                right++;
            } catch (VersionChangedException e) {
                changed++;
            }
        }
        return "right=" + right + " changed=" + changed;
    }

    private String pieces(String[] words) throws IOException {
        Random rnd = new Random(Long.parseLong(words[1]));
        OriginReader own = Boolean.parseBoolean(words[3]) ? (o, position, b, offset, length) -> System.arraycopy(content.get(o.path()), (int) position, b, offset, length) : null;
        for (Map.Entry<String, byte[]> e : content.entrySet()) {
            FleetFile f = open.get(e.getKey());
            if (f == null) {
                f = fleet.open("lake", e.getKey(), OpenHints.NONE);
                open.put(e.getKey(), f);
            }
            for (int i = 0; i < Integer.parseInt(words[2]); i++) {
                compare(f, e.getValue(), rnd, own);
            }
        }
        return fleet.toString();
    }

    private static void compare(FleetFile f, byte[] want, Random rnd, OriginReader own) throws IOException {
        int at = rnd.nextInt(want.length + 1);
        byte[] got = new byte[1 + rnd.nextInt(2 << 20)];
        int n = f.read(at, got, 0, got.length, own);
        int there = Math.min(got.length, want.length - at);
        if (n != (there == 0 ? -1 : there) || !Arrays.equals(Arrays.copyOf(got, there), Arrays.copyOfRange(want, at, at + there))) {
            throw new IOException("wrong: " + f + ", " + got.length + " bytes at " + at + ": " + n);
        }
    }
}
