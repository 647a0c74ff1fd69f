package io.alio.itest;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * A real HDFS in one process, for tests: NameNodes and DataNodes on fixed ports, driven by commands on standard input. What it is
 * to start lies in hdfs-site.xml on its class path.
 *
 * <p>Protocol: one command a line, "id word word ...", words parted by one space, anything odd in a word as %XX (UTF-8). The answer
 * is one line, "id OK text" or "id ERR text", text encoded the same way. Commands run in parallel and answer in any order. The
 * first line of output is "0 OK ready". The end of the input ends the process.
 */
public final class Main {
  private static final Logger JERSEY = Logger.getLogger("org.apache.hadoop.shaded.com.sun.jersey");

  private Main() {}

  public static void main(String[] args) throws Exception {
    PrintStream answers = new PrintStream(System.out, false, "UTF-8");
    JERSEY.setLevel(Level.SEVERE); // it says much about WebHDFS's classes
    System.setOut(System.err); // what Hadoop prints is no answer
    Cluster cluster = new Cluster();
    Commands commands = new Commands(cluster);
    answer(answers, "0", "OK", "ready");
    ExecutorService pool = Executors.newCachedThreadPool();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] words = line.split(" ");
      pool.execute(() -> run(commands, answers, words));
    }
    Runtime.getRuntime().halt(0);
  }

  private static void run(Commands commands, PrintStream answers, String[] words) {
    try {
      String[] rest = new String[words.length - 1];
      for (int i = 0; i < rest.length; i++) {
        rest[i] = decode(words[i + 1]);
      }
      String text = commands.run(rest[0], Arrays.copyOfRange(rest, 1, rest.length));
      answer(answers, words[0], "OK", text);
    } catch (Throwable e) {
      String text = e.getClass().getName() + ": " + e.getMessage();
      answer(answers, words[0], "ERR", text.split("\n\tat ")[0]);
    }
  }

  private static void answer(PrintStream answers, String id, String kind, String text) {
    synchronized (answers) {
      answers.print(id + " " + kind + " " + encode(text) + "\n");
      answers.flush();
    }
  }

  private static String encode(String s) {
    return s.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D");
  }

  private static String decode(String s) {
    byte[] in = s.getBytes(StandardCharsets.UTF_8);
    byte[] out = new byte[in.length];
    int n = 0;
    for (int i = 0; i < in.length; i++) {
      if (in[i] == '%') {
        out[n++] = (byte) Integer.parseInt(new String(in, i + 1, 2, StandardCharsets.UTF_8), 16);
        i += 2;
      } else {
        out[n++] = in[i];
      }
    }
    return new String(out, 0, n, StandardCharsets.UTF_8);
  }
}
