package io.alio.presto;

import com.amazonaws.services.s3.AmazonS3;
import com.facebook.airlift.configuration.ConfigurationFactory;
import com.facebook.presto.hive.s3.HiveS3Config;
import com.facebook.presto.hive.s3.PrestoS3ConfigurationUpdater;
import com.facebook.presto.hive.s3.PrestoS3FileSystem;
import io.alio.hadoop.Known;
import io.alio.hadoop.Names;
import io.alio.hadoop.Opener;
import java.io.IOException;
import java.lang.reflect.Field;
import java.net.URI;
import java.util.Map;
import java.util.TreeMap;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.util.Progressable;

/**
 * Presto's own S3 file system, but for the reading of files, which goes through the sidecar: {@code fs.s3.impl}, {@code fs.s3a.impl} and {@code
 * fs.s3n.impl} in core-site.xml, with {@code hive.s3-file-system-type=HADOOP_DEFAULT} in the catalog. The catalog's {@code hive.s3.*} lines belong into
 * core-site.xml then, under the same names.
 *
 * <p>It extends and does not wrap: Presto asks whether a table's file system is a PrestoS3FileSystem, and writes to S3 without a staging folder only then.
 */
public class AlioS3FileSystem extends PrestoS3FileSystem {
    private static final String PREFIX = "hive.s3.";

    private Opener opener; // null: files of this file system are not the sidecar's to read
    private S3Versions versions;

    @Override
    public void initialize(URI uri, Configuration conf) throws IOException {
        Configuration c = copy(conf);
        HiveS3Config settings = settings(conf);
        new PrestoS3ConfigurationUpdater(settings).updateConfiguration(c);
        super.initialize(uri, c);
        // Presto's cache makes a file system anew whenever the credentials in its configuration are not those in the configuration of who asks for it, and closes
        // the one before when the collector finds it, whoever still reads by it. The engine's configuration has none here, so neither must ours; and who makes a
        // configuration of this one, as Hudi does, is to find this class in it.
        setConf(copy(conf));
        boolean encrypts = settings.getS3EncryptionMaterialsProvider() != null || settings.getS3KmsKeyId() != null;
        if (!encrypts && uri.getUserInfo() == null) { // else only the engine can decrypt, or only the location's own credentials may read
            Names names = settings.isSkipGlacierObjects() ? null : Names.of(conf::get); // of storage classes the sidecar says nothing
            versions = seeVersions(names == null ? null : new S3Names(names));
            opener = Opener.of(conf::get);
        }
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

    /** The settings as Presto reads them from a catalog: same names, same checks. */
    private static HiveS3Config settings(Configuration conf) throws IOException {
        Map<String, String> all = new TreeMap<>();
        for (Map.Entry<String, String> e : conf) {
            if (e.getKey().startsWith(PREFIX)) {
                all.put(e.getKey(), e.getValue());
            }
        }
        try {
            ConfigurationFactory factory = new ConfigurationFactory(all);
            HiveS3Config config = factory.build(HiveS3Config.class);
            all.keySet().removeAll(factory.getUsedProperties());
            if (!all.isEmpty()) {
                throw new IOException("core-site.xml has S3 settings that Presto does not know: " + all.keySet());
            }
            return config;
        } catch (RuntimeException e) {
            throw new IOException("the S3 settings (" + PREFIX + "*) in core-site.xml are wrong: " + e.getMessage(), e);
        }
    }

    /** Puts itself between Presto's file system and its S3 client, to hold reads past the sidecar to one version. */
    private S3Versions seeVersions(S3Names names) throws IOException {
        try {
            Field s3 = PrestoS3FileSystem.class.getDeclaredField("s3");
            s3.setAccessible(true);
            S3Versions v = new S3Versions((AmazonS3) s3.get(this), names);
            s3.set(this, v.client());
            return v;
        } catch (ReflectiveOperationException | RuntimeException e) {
            throw new IOException("this release of Presto keeps its S3 client elsewhere; take fs.s3*.impl out of core-site.xml: " + e, e);
        }
    }

    @Override
    public FSDataInputStream open(Path path, int bufferSize) {
        return open(path, bufferSize, Known.NOTHING);
    }

    /** Opens a file that a listing told something of. */
    FSDataInputStream open(Path path, int bufferSize, Known listed) {
        if (opener == null) {
            return super.open(path, bufferSize);
        }
        Path whole = path.makeQualified(getUri(), getWorkingDirectory());
        try {
            return opener.open(whole.toUri(), bufferSize, statistics, new S3File(whole, versions, listed, () -> super.open(path, bufferSize)));
        } catch (IOException e) { // a request for a version; reading says the same, and again if need be
            return super.open(path, bufferSize);
        }
    }

    private void written(Path path, boolean folder) {
        if (opener != null) {
            opener.invalidate(path.makeQualified(getUri(), getWorkingDirectory()).toUri(), folder);
        }
    }

    @Override
    public FSDataOutputStream create(Path path, FsPermission permission, boolean overwrite, int bufferSize, short replication, long blockSize,
            Progressable progress) throws IOException {
        FSDataOutputStream out = super.create(path, permission, overwrite, bufferSize, replication, blockSize, progress);
        return new FSDataOutputStream(out, null) {
            @Override
            public void close() throws IOException { // the upload
                super.close();
                written(path, false);
            }
        };
    }

    @Override
    public boolean rename(Path from, Path to) throws IOException {
        boolean done = super.rename(from, to);
        written(from, true);
        written(to, true);
        return done;
    }

    @Override
    public boolean delete(Path path, boolean recursive) throws IOException {
        boolean done = super.delete(path, recursive);
        written(path, recursive);
        return done;
    }
}
