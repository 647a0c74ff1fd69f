package io.alio.client;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Places splits by the affinity service, as an engine's coordinator does; itest runs it and is its judge. Its arguments are address and token. Each line on standard input is answered by one:
 * "place HOSTS COUNT NODES" places so many splits (those of itest/affinity) on nodes with commas between them, and is answered by the nodes of each, "+" between those of one split and "-" for
 * none; "bad" places splits that make no sense; "report" is answered by the counters; "stop" ends it.
 */
public final class Placer {
    private final AffinityClient client;

    private Placer(AffinityClient client) {
        this.client = client;
    }

    public static void main(String[] args) throws Exception {
        AffinityOptions o = AffinityOptions.of(args[0]).token(args[1]).backoffMillis(200).jmxName("placer").warnings(System.err::println);
        try (AffinityClient client = AffinityClient.create(o)) {
            Placer p = new Placer(client);
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = in.readLine(); line != null && !line.equals("stop"); line = in.readLine()) {
                System.out.println(p.answer(line.split(" ")));
            }
        }
    }

    private String answer(String[] words) throws ReflectiveOperationException {
        switch (words[0]) {
            case "place":
                return place(splits(Integer.parseInt(words[2])), Integer.parseInt(words[1]), words[3]);
            case "bad":
                List<FileSplit> bad = new ArrayList<>();
                bad.add(null);
                bad.add(new FileSplit("", "a", 0, 0));
                bad.add(new FileSplit("lake", "../a", 0, 0));
                bad.add(new FileSplit("lake", "a\0b", 0, 0));
                bad.add(new FileSplit("lake", "a\ud83c", 0, 0));
                bad.add(new FileSplit("lake", "a", -1, 0));
                bad.add(splits(1).get(0));
                return place(bad, 1, words[1]);
            default:
                return report();
        }
    }

    private static List<FileSplit> splits(int count) {
        List<FileSplit> out = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            out.add(new FileSplit("lake", "sales/part-" + i + ".parquet", (long) (i % 4) << 28, 0));
        }
        return out;
    }

    private String place(List<FileSplit> splits, int hosts, String nodes) {
        Map<String, String> known = new LinkedHashMap<>();
        for (String n : nodes.split(",")) {
            known.put(n, n);
        }
        StringBuilder b = new StringBuilder();
        for (List<String> placed : client.place(splits, hosts, known)) {
            b.append(b.length() == 0 ? "" : " ").append(placed.isEmpty() ? "-" : String.join("+", placed));
        }
        return b.toString();
    }

    /** The counters, as name=value, with a comma between them. */
    private String report() throws ReflectiveOperationException {
        Map<String, Object> all = new TreeMap<>();
        for (Method m : AffinityMetrics.class.getMethods()) {
            all.put(m.getName().substring(3), m.invoke(client.metrics()));
        }
        return all.toString().replaceAll("[{} ]", "");
    }
}
