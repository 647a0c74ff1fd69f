package io.alio.hadoop;

import io.alio.client.AlioObject;
import io.alio.client.VersionChangedException;
import java.io.IOException;
import java.net.URI;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.ContentSummary;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.FilterFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.util.ReflectionUtils;

/**
 * Reads files through the sidecar and leaves all else to the file system behind: that of {@code alio.fs.<scheme>.impl}, or else the one that Hadoop has for
 * the scheme when nothing is configured.
 */
public class BridgedFileSystem extends FilterFileSystem {
    private Opener opener;

    @Override
    public void initialize(URI name, Configuration conf) throws IOException {
        Configuration behind = copy(conf);
        fs = behind(name, behind);
        fs.initialize(name, behind);
        super.initialize(name, conf);
        opener = Opener.of(conf::get);
    }

    /** Property by property: an engine's configuration may be a view of another one, of which the copy constructor sees nothing. */
    private static Configuration copy(Configuration conf) {
        Configuration c = new Configuration(false);
        for (Map.Entry<String, String> e : conf) {
            c.set(e.getKey(), e.getValue());
        }
        c.setClassLoader(conf.getClassLoader());
        return c;
    }

    private static FileSystem behind(URI name, Configuration conf) throws IOException {
        String key = "fs." + name.getScheme() + ".impl";
        String wanted = conf.get("alio." + key);
        if (wanted != null) {
            conf.set(key, wanted);
        } else {
            conf.unset(key);
        }
        Class<? extends FileSystem> c = FileSystem.getFileSystemClass(name.getScheme(), conf);
        if (BridgedFileSystem.class.isAssignableFrom(c)) {
            throw new IOException("alio." + key + " names " + c.getName() + " itself: name the file system that files of " + name + " are kept in");
        }
        return ReflectionUtils.newInstance(c, conf);
    }

    @Override
    public String getScheme() {
        return fs.getScheme();
    }

    @Override
    public ContentSummary getContentSummary(Path p) throws IOException {
        return fs.getContentSummary(p);
    }

    @Override
    public FSDataInputStream open(Path p, int bufferSize) throws IOException {
        Path path = makeQualified(p);
        return opener.open(path.toUri(), bufferSize, statistics, behind(path, bufferSize));
    }

    /** The file at the file system behind. */
    protected Behind behind(Path path, int bufferSize) {
        return new Plain(path, bufferSize);
    }

    /**
     * Any file system: a file's version is what its status tells, its length and its time, which some changes leave as they were. So hidden files, which engines rewrite
     * in place (those of a metastore of files) or make grow, are not cached.
     */
    protected class Plain implements Behind {
        protected final Path path;
        private final int bufferSize;

        protected Plain(Path path, int bufferSize) {
            this.path = path;
            this.bufferSize = bufferSize;
        }

        @Override
        public Known known() throws IOException {
            FileStatus s = fs.getFileStatus(path);
            if (s.isDirectory() || path.getName().startsWith(".")) {
                return Known.UNCACHED; // of a folder the file system behind says what is wrong with opening it
            }
            return Known.of("", s.getLen(), "length+mtime", s.getLen() + "+" + s.getModificationTime());
        }

        @Override
        public FSDataInputStream open() throws IOException {
            return fs.open(path, bufferSize);
        }

        @Override
        public void readFully(FSDataInputStream in, Known at, AlioObject object, long position, byte[] b, int offset, int length) throws IOException {
            in.readFully(position, b, offset, length);
            if (!at.same(known())) {
                throw new VersionChangedException(path + " has changed since it was opened");
            }
        }
    }
}
