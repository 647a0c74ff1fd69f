package io.alio.itest;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.hadoop.crypto.key.KeyProvider;
import org.apache.hadoop.fs.CreateFlag;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.Options;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DFSClient;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.client.HdfsDataOutputStream;
import org.apache.hadoop.hdfs.protocol.DatanodeInfo;
import org.apache.hadoop.hdfs.protocol.ExtendedBlock;
import org.apache.hadoop.hdfs.protocol.HdfsConstants;
import org.apache.hadoop.hdfs.protocol.HdfsFileStatus;
import org.apache.hadoop.hdfs.protocol.LocatedBlock;
import org.apache.hadoop.hdfs.protocol.LocatedBlocks;

/** The commands, and the output streams that they keep open under names. */
final class Commands {
  private final Cluster cluster;
  private final Map<String, FSDataOutputStream> streams = new ConcurrentHashMap<>();

  Commands(Cluster cluster) {
    this.cluster = cluster;
  }

  String run(String name, String[] a) throws Exception {
    String answer = stream(name, a);
    if (answer == null) {
      answer = file(name, a);
    }
    if (answer == null) {
      answer = state(name, a);
    }
    if (answer == null) {
      throw new IOException("no such command: " + name);
    }
    return answer;
  }

  private DistributedFileSystem fs() {
    return cluster.fs();
  }

  private FSDataOutputStream open(String name) throws IOException {
    FSDataOutputStream out = streams.get(name);
    if (out == null) {
      throw new IOException("no stream is open as " + name);
    }
    return out;
  }

  /** create NAME PATH [BLOCKSIZE [REPLICAS]] and what is done with an open stream. */
  private String stream(String name, String[] a) throws IOException {
    switch (name) {
      case "create":
        Path p = new Path(null, null, a[1]);
        long block = a.length > 2 ? Long.parseLong(a[2]) : fs().getDefaultBlockSize(p);
        short replicas = a.length > 3 ? Short.parseShort(a[3]) : fs().getDefaultReplication(p);
        return hold(a[0], fs().create(p, true, 4096, replicas, block));
      case "append":
        return hold(a[0], fs().append(new Path(null, null, a[1])));
      case "appendnewblock":
        return hold(a[0], fs().append(new Path(null, null, a[1]), EnumSet.of(CreateFlag.APPEND, CreateFlag.NEW_BLOCK), 4096, null));
      case "write":
        open(a[0]).write(Base64.getDecoder().decode(a[1]));
        return "";
      case "fill":
        open(a[0]).write(pattern(Long.parseUnsignedLong(a[1]), Long.parseLong(a[2]), Integer.parseInt(a[3])));
        return "";
      case "hflush":
        open(a[0]).hflush();
        return "";
      case "hsync":
        open(a[0]).hsync();
        return "";
      case "hsyncu":
        ((HdfsDataOutputStream) open(a[0])).hsync(EnumSet.of(HdfsDataOutputStream.SyncFlag.UPDATE_LENGTH));
        return "";
      case "close":
        open(a[0]).close();
        streams.remove(a[0]);
        return "";
      case "forget":
        streams.remove(a[0]);
        return "";
      default:
        return null;
    }
  }

  private String hold(String name, FSDataOutputStream out) throws IOException {
    if (streams.putIfAbsent(name, out) != null) {
      out.close();
      throw new IOException("a stream is already open as " + name);
    }
    return "";
  }

  /** Bytes off to off+n of the endless sequence of a seed. The Go side computes the same (Pattern). */
  private static byte[] pattern(long seed, long off, int n) {
    byte[] b = new byte[n];
    for (int i = 0; i < n; i++) {
      long at = off + i;
      long z = seed + ((at >>> 3) + 1) * 0x9E3779B97F4A7C15L;
      z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
      z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
      z ^= z >>> 31;
      b[i] = (byte) (z >>> (8 * (at & 7)));
    }
    return b;
  }

  /** What changes or tells of files. */
  private String file(String name, String[] a) throws Exception {
    Path p = a.length > 0 && a[0].startsWith("/") ? new Path(null, null, a[0]) : null;
    switch (name) {
      case "put":
        try (FSDataOutputStream out = fs().create(p, true)) {
          out.write(Base64.getDecoder().decode(a.length > 1 ? a[1] : ""));
        }
        return "";
      case "read":
        byte[] b = new byte[Integer.parseInt(a[2])];
        try (FSDataInputStream in = fs().open(p)) {
          in.readFully(Long.parseLong(a[1]), b);
        }
        return Base64.getEncoder().encodeToString(b);
      case "truncate":
        return String.valueOf(fs().truncate(p, Long.parseLong(a[1])));
      case "recover":
        return String.valueOf(fs().recoverLease(p));
      case "closed":
        return String.valueOf(fs().isFileClosed(p));
      case "concat":
        Path[] sources = new Path[a.length - 1];
        for (int i = 1; i < a.length; i++) {
          sources[i - 1] = new Path(null, null, a[i]);
        }
        fs().concat(p, sources);
        return "";
      case "rename":
        fs().rename(p, new Path(null, null, a[1]), Options.Rename.OVERWRITE);
        return "";
      case "settimes":
        fs().setTimes(p, Long.parseLong(a[1]), Long.parseLong(a[2]));
        return "";
      case "delete":
        return String.valueOf(fs().delete(p, true));
      case "mkdir":
        return String.valueOf(fs().mkdirs(p));
      case "chmod":
        fs().setPermission(p, new FsPermission(a[1]));
        return "";
      case "owner":
        return fs().getFileStatus(new Path(null, null, a[0])).getOwner();
      case "setowner":
        fs().setOwner(p, a[1], a[2]);
        return "";
      case "setrep":
        return String.valueOf(fs().setReplication(p, Short.parseShort(a[1])));
      case "ec":
        fs().enableErasureCodingPolicy(a[1]);
        fs().setErasureCodingPolicy(p, a[1]);
        return "";
      case "zone":
        return zone(p, a[1]);
      case "locate":
        return locate(a[0]);
      default:
        return null;
    }
  }

  /** Makes an empty folder an encryption zone, with a new key in the NameNode's own key store. */
  private String zone(Path p, String key) throws Exception {
    KeyProvider keys = cluster.active().getNamesystem().getProvider();
    KeyProvider.Options o = new KeyProvider.Options(cluster.active().getConf());
    o.setBitLength(128);
    keys.createKey(key, o);
    keys.flush();
    fs().getClient().setKeyProvider(keys);
    fs().createEncryptionZone(p, key);
    return "";
  }

  private LocatedBlocks blocks(String path) throws IOException {
    return fs().getClient().getLocatedBlocks(path, 0, Long.MAX_VALUE);
  }

  /** "inode length mtime underconstruction", then a word for each block: pool:id:stamp:bytes:port,port. */
  private String locate(String path) throws IOException {
    DFSClient client = fs().getClient();
    HdfsFileStatus st = client.getFileInfo(path);
    if (st == null) {
      throw new java.io.FileNotFoundException(path);
    }
    StringBuilder s = new StringBuilder();
    LocatedBlocks all = blocks(path);
    s.append(st.getFileId() + " " + st.getLen() + " " + st.getModificationTime() + " " + all.isUnderConstruction());
    List<LocatedBlock> list = new ArrayList<>(all.getLocatedBlocks());
    for (LocatedBlock lb : list) {
      ExtendedBlock b = lb.getBlock();
      List<String> ports = new ArrayList<>();
      for (DatanodeInfo d : lb.getLocations()) {
        ports.add(String.valueOf(d.getXferPort()));
      }
      s.append(" " + b.getBlockPoolId() + ":" + b.getBlockId() + ":" + b.getGenerationStamp() + ":" + b.getNumBytes() + ":" + String.join(",", ports));
    }
    return s.toString();
  }

  /** Servers, their state and what they counted. */
  private String state(String name, String[] a) throws Exception {
    switch (name) {
      case "namenode":
        cluster.nameNode(a[0], Integer.parseInt(a[1]));
        return "";
      case "datanode":
        cluster.dataNode(a[0], Integer.parseInt(a[1]));
        return "";
      case "failover":
        cluster.failover(Integer.parseInt(a[0]));
        return "";
      case "safemode":
        return String.valueOf(fs().setSafeMode(a[0].equals("enter") ? HdfsConstants.SafeModeAction.SAFEMODE_ENTER
            : a[0].equals("leave") ? HdfsConstants.SafeModeAction.SAFEMODE_LEAVE : HdfsConstants.SafeModeAction.SAFEMODE_GET));
      case "corrupt": // PATH BLOCK DATANODE: a few bytes of the replica's file
        cluster.mini.getMaterializedReplica(cluster.place(Integer.parseInt(a[2])), block(a)).corruptData();
        return "";
      case "lose": // PATH BLOCK DATANODE: the replica's file
        cluster.mini.getMaterializedReplica(cluster.place(Integer.parseInt(a[2])), block(a)).deleteData();
        return "";
      case "metrics":
        return Metrics.json(cluster);
      default:
        return null;
    }
  }

  private ExtendedBlock block(String[] a) throws IOException {
    return blocks(a[0]).getLocatedBlocks().get(Integer.parseInt(a[1])).getBlock();
  }
}
