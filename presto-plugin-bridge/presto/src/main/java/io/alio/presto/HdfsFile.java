package io.alio.presto;

import io.alio.client.AlioObject;
import io.alio.client.VersionChangedException;
import io.alio.hadoop.Behind;
import io.alio.hadoop.Known;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.UnresolvedLinkException;
import org.apache.hadoop.hdfs.DFSClient;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.protocol.ExtendedBlock;
import org.apache.hadoop.hdfs.protocol.HdfsFileStatus;
import org.apache.hadoop.hdfs.protocol.LocatedBlock;
import org.apache.hadoop.hdfs.protocol.LocatedBlocks;

/**
 * A file on HDFS. Its version is made as the sidecar makes it: of inode, length, and each block's id, generation stamp and bytes. The blocks are asked for by
 * the call that opens a file, so the NameNode checks that the query's user may read it, as it does without the sidecar.
 */
final class HdfsFile implements Behind {
    private static final int MOST_IDS = 10_000;
    private static final Map<String, Long> IDS = new LinkedHashMap<String, Long>(16, 0.75f, true) { // inode by blocks, which never belong to another one
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Long> eldest) {
            return size() > MOST_IDS;
        }
    };

    private final DistributedFileSystem dfs;
    private final Path path;
    private final Behind plain;

    HdfsFile(DistributedFileSystem dfs, Path path, Behind plain) {
        this.dfs = dfs;
        this.path = path;
        this.plain = plain;
    }

    @Override
    public Known known() throws IOException {
        DFSClient client = dfs.getClient();
        String src = path.toUri().getPath();
        try {
            LocatedBlocks all = client.getLocatedBlocks(src, 0, Long.MAX_VALUE);
            if (all == null || all.isUnderConstruction() || all.getFileEncryptionInfo() != null) {
                return Known.UNCACHED;
            }
            byte[] blocks = blocks(all.getLocatedBlocks());
            Long id = inode(client, src, all.getFileLength(), blocks);
            if (id == null) {
                return Known.UNCACHED;
            }
            String version = version(id, all.getFileLength(), blocks);
            return Known.of('"' + version + '"', all.getFileLength(), "hdfs-blocks", version);
        } catch (UnresolvedLinkException e) {
            return Known.UNCACHED; // a symbolic link, which the file system behind follows
        }
    }

    private static Long inode(DFSClient client, String src, long length, byte[] blocks) throws IOException {
        String key = hex(sha256(blocks));
        synchronized (IDS) {
            Long id = blocks.length == 0 ? null : IDS.get(key);
            if (id != null) {
                return id;
            }
        }
        HdfsFileStatus s = client.getFileInfo(src);
        if (s == null || s.isDir() || s.getLen() != length) {
            return null; // it has changed between the two calls
        }
        synchronized (IDS) {
            if (blocks.length > 0) {
                IDS.put(key, s.getFileId());
            }
        }
        return s.getFileId();
    }

    static byte[] blocks(List<LocatedBlock> all) {
        ByteBuffer b = ByteBuffer.allocate(all.stream().mapToInt(l -> 28 + pool(l).length).sum());
        for (LocatedBlock l : all) {
            ExtendedBlock block = l.getBlock();
            b.putInt(pool(l).length).put(pool(l)).putLong(block.getBlockId()).putLong(block.getGenerationStamp()).putLong(block.getNumBytes());
        }
        return b.array();
    }

    private static byte[] pool(LocatedBlock l) {
        return l.getBlock().getBlockPoolId().getBytes(StandardCharsets.UTF_8);
    }

    static String version(long inode, long length, byte[] blocks) {
        ByteBuffer b = ByteBuffer.allocate(24 + blocks.length);
        b.putLong(inode).putLong(length).putLong(0).put(blocks);
        return hex(Arrays.copyOf(sha256(b.array()), 16));
    }

    private static byte[] sha256(byte[] b) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(b);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every Java has it
        }
    }

    private static String hex(byte[] b) {
        StringBuilder s = new StringBuilder();
        for (byte x : b) {
            s.append(Character.forDigit(x >> 4 & 15, 16)).append(Character.forDigit(x & 15, 16));
        }
        return s.toString();
    }

    @Override
    public FSDataInputStream open() throws IOException {
        return plain.open();
    }

    @Override
    public void readFully(FSDataInputStream in, Known at, AlioObject object, long position, byte[] b, int offset, int length) throws IOException {
        in.readFully(position, b, offset, length);
        Known now = known();
        if (!at.same(now) || !object.etag().isEmpty() && !now.is(object.etag())) {
            throw new VersionChangedException(path + " has changed since it was opened");
        }
    }
}
