package io.alio.itest;

import java.io.IOException;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.hadoop.hdfs.server.namenode.NameNode;
import org.apache.hadoop.hdfs.server.namenode.NameNodeRpcServer;
import org.apache.hadoop.ipc.RPC;
import org.apache.hadoop.metrics2.AbstractMetric;
import org.apache.hadoop.metrics2.impl.MetricsCollectorImpl;
import org.apache.hadoop.metrics2.lib.MetricsRegistry;

/**
 * What the servers counted since they were started. Read from their registries, not through JMX, which answers from a copy that is
 * up to ten seconds old.
 */
final class Metrics {
  private Metrics() {}

  /** {"namenodes":[{"getfileinfo":3,...},...],"datanodes":[{"BytesRead":5,...},...]}; a server that is stopped counts nothing. */
  static String json(Cluster c) throws IOException {
    List<String> names = new ArrayList<>();
    for (int i = 0; i < c.mini.getNumNameNodes(); i++) {
      NameNode nn = c.mini.getNameNode(i);
      Map<String, Long> counts = new TreeMap<>();
      if (nn != null && nn.getRpcServer() != null) {
        RPC.Server server = (RPC.Server) field(nn.getRpcServer(), NameNodeRpcServer.class, "clientRpcServer");
        for (Map.Entry<String, Long> e : read(server.getRpcDetailedMetrics()).entrySet()) {
          if (e.getKey().endsWith("NumOps") && !e.getKey().startsWith("Overall") && e.getValue() > 0) {
            counts.put(e.getKey().substring(0, e.getKey().length() - "NumOps".length()).toLowerCase(), e.getValue());
          }
        }
      }
      names.add(object(counts));
    }
    List<String> data = new ArrayList<>();
    for (int i = 0; i < c.dataNodes(); i++) {
      Map<String, Long> counts = new TreeMap<>();
      try {
        counts = read(c.mini.getDataNodes().get(c.place(i)).getMetrics());
        counts.values().removeIf(v -> v == 0);
      } catch (IOException e) {
        counts.clear(); // it is stopped
      }
      data.add(object(counts));
    }
    return "{\"namenodes\":[" + String.join(",", names) + "],\"datanodes\":[" + String.join(",", data) + "]}";
  }

  private static Map<String, Long> read(Object source) throws IOException {
    MetricsCollectorImpl out = new MetricsCollectorImpl();
    ((MetricsRegistry) field(source, source.getClass(), "registry")).snapshot(out.addRecord("read"), true);
    Map<String, Long> all = new TreeMap<>();
    for (AbstractMetric m : out.getRecords().get(0).metrics()) {
      all.put(m.name(), m.value().longValue());
    }
    return all;
  }

  private static Object field(Object o, Class<?> of, String name) throws IOException {
    try {
      Field f = of.getDeclaredField(name);
      f.setAccessible(true);
      return f.get(o);
    } catch (ReflectiveOperationException e) {
      throw new IOException(of + " has no field " + name + " (another version of Hadoop?)", e);
    }
  }

  private static String object(Map<String, Long> m) {
    List<String> parts = new ArrayList<>();
    m.forEach((k, v) -> parts.add("\"" + k + "\":" + v));
    return "{" + String.join(",", parts) + "}";
  }
}
