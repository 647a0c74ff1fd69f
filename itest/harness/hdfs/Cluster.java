package io.alio.itest;

import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.util.HashMap;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;
import org.apache.hadoop.hdfs.server.datanode.DataNode;
import org.apache.hadoop.hdfs.server.namenode.NameNode;
import org.apache.hadoop.security.UserGroupInformation;

/** NameNodes and DataNodes of one process, by their numbers from 0, which stay theirs over stops and starts. */
final class Cluster {
  final MiniDFSCluster mini;
  private final DistributedFileSystem fs;
  private final int[] dataPorts; // of the DataNodes, by number
  private final Map<Integer, MiniDFSCluster.DataNodeProperties> stopped = new HashMap<>();
  private final boolean ha;

  Cluster() throws Exception {
    Configuration conf = new HdfsConfiguration();
    UserGroupInformation.setConfiguration(conf);
    if (UserGroupInformation.isSecurityEnabled()) {
      UserGroupInformation.loginUserFromKeytab(conf.get("alio.principal"), conf.get("alio.keytab"));
    }
    File dir = new File(conf.get("alio.dir"));
    int[] rpc = conf.getInts("alio.namenode.rpc.ports");
    int[] http = conf.getInts("alio.namenode.http.ports");
    dataPorts = conf.getInts("alio.datanode.ports");
    ha = rpc.length > 1;
    MiniDFSCluster.Builder b =
        new MiniDFSCluster.Builder(conf, dir).numDataNodes(dataPorts.length).storagesPerDatanode(1)
            .checkDataNodeAddrConfig(true).dataNodeConfOverlays(overlays(conf)).format(!new File(dir, "formatted").exists());
    if (ha) {
      MiniDFSNNTopology.NSConf ns = new MiniDFSNNTopology.NSConf(conf.get("alio.nameservice"));
      for (int i = 0; i < rpc.length; i++) {
        ns.addNN(new MiniDFSNNTopology.NNConf("nn" + (i + 1)).setIpcPort(rpc[i]).setHttpPort(http[i]));
      }
      b.nnTopology(new MiniDFSNNTopology().addNameservice(ns));
    } else {
      b.nameNodePort(rpc[0]).nameNodeHttpPort(http[0]);
    }
    mini = b.build();
    if (ha) {
      mini.transitionToActive(0);
    }
    mini.waitActive();
    new File(dir, "formatted").createNewFile();
    fs = (DistributedFileSystem) FileSystem.newInstance(URI.create(conf.get("alio.defaultfs")), conf);
  }

  /** The ports of each DataNode: data transfer, HTTP, RPC. MiniDFSCluster takes others unless it is told not to. */
  private Configuration[] overlays(Configuration conf) {
    int[] http = conf.getInts("alio.datanode.http.ports");
    int[] ipc = conf.getInts("alio.datanode.ipc.ports");
    Configuration[] all = new Configuration[dataPorts.length];
    for (int i = 0; i < all.length; i++) {
      all[i] = new Configuration(false);
      all[i].set("dfs.datanode.address", "127.0.0.1:" + dataPorts[i]);
      all[i].set("dfs.datanode.http.address", "127.0.0.1:" + http[i]);
      all[i].set("dfs.datanode.ipc.address", "127.0.0.1:" + ipc[i]);
    }
    return all;
  }

  DistributedFileSystem fs() {
    return fs;
  }

  /** The NameNode that answers: the active one. */
  NameNode active() throws IOException {
    for (int i = 0; i < mini.getNumNameNodes(); i++) {
      NameNode nn = mini.getNameNode(i);
      if (nn != null && nn.isActiveState()) {
        return nn;
      }
    }
    throw new IOException("no NameNode is active");
  }

  /** Where DataNode number n is in MiniDFSCluster's list, which closes ranks when one stops. */
  int place(int n) throws IOException {
    for (int i = 0; i < mini.getDataNodes().size(); i++) {
      DataNode dn = mini.getDataNodes().get(i);
      if (dn.getXferPort() == dataPorts[n]) {
        return i;
      }
    }
    throw new IOException("DataNode " + n + " is not running");
  }

  int dataNodes() {
    return dataPorts.length;
  }

  synchronized void dataNode(String what, int n) throws IOException {
    if (what.equals("stop") || what.equals("restart")) {
      stopped.put(n, mini.stopDataNode(place(n)));
    }
    if (what.equals("start") || what.equals("restart")) {
      MiniDFSCluster.DataNodeProperties was = stopped.remove(n);
      if (was == null) {
        throw new IOException("DataNode " + n + " was not stopped");
      }
      mini.restartDataNode(was, true);
      if (stopped.isEmpty()) { // it waits for as many as the NameNode takes for alive, those that were stopped a moment ago among them
        mini.waitActive();
      }
    }
  }

  synchronized void nameNode(String what, int n) throws IOException {
    if (what.equals("stop")) {
      mini.shutdownNameNode(n);
    } else {
      boolean wasActive = mini.getNameNode(n) != null && mini.getNameNode(n).isActiveState();
      mini.restartNameNode(n, !ha);
      if (ha) {
        mini.waitNameNodeUp(n);
        if (wasActive) {
          mini.transitionToActive(n);
        }
      }
    }
  }

  /** Makes NameNode n the active one; the others, if they run, are standbys first. */
  synchronized void failover(int n) throws IOException {
    for (int i = 0; i < mini.getNumNameNodes(); i++) {
      if (i != n && mini.getNameNode(i) != null && mini.getNameNode(i).isActiveState()) {
        mini.transitionToStandby(i);
      }
    }
    mini.transitionToActive(n);
  }
}
