package io.alio.presto;

import com.amazonaws.AmazonClientException;
import com.amazonaws.services.s3.AmazonS3;
import com.amazonaws.services.s3.model.AmazonS3Exception;
import com.amazonaws.services.s3.model.GetObjectRequest;
import com.amazonaws.services.s3.model.ObjectMetadata;
import com.amazonaws.services.s3.model.ObjectListing;
import com.amazonaws.services.s3.model.S3Object;
import com.amazonaws.services.s3.model.S3ObjectSummary;
import com.facebook.presto.hive.s3.PrestoS3FileSystem;
import io.alio.client.VersionChangedException;
import io.alio.hadoop.Known;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.LinkedHashSet;
import java.util.Set;
import org.apache.hadoop.fs.Path;

/**
 * Stands between Presto's S3 file system and its client, and sees the ETags that Presto drops. Presto asks for bytes of a path, whatever version that is; while a read is made {@link #during} a
 * version, it is asked for at that one ({@code If-Match}) and the answer's ETag is compared too, since some stores ignore the condition.
 */
final class S3Versions {
    /** The version that the present thread reads at. */
    private static final class Wanted {
        final String etag; // without quotes
        boolean changed;

        Wanted(String etag) {
            this.etag = etag;
        }
    }

    /** What reads. */
    interface Reading {
        void run() throws IOException;
    }

    private final AmazonS3 real;
    private final S3Names names; // null: all questions go to S3
    private final AmazonS3 client;
    private final ThreadLocal<Wanted> wanted = new ThreadLocal<>();

    S3Versions(AmazonS3 real, S3Names names) {
        this.real = real;
        this.names = names;
        Set<Class<?>> all = new LinkedHashSet<>();
        for (Class<?> c = real.getClass(); c != null; c = c.getSuperclass()) {
            for (Class<?> i : c.getInterfaces()) {
                all.add(i);
            }
        }
        all.removeIf(i -> !java.lang.reflect.Modifier.isPublic(i.getModifiers()));
        client = (AmazonS3) Proxy.newProxyInstance(AmazonS3.class.getClassLoader(), all.toArray(new Class<?>[0]), this::call);
    }

    /** What Presto's file system is given for its client. */
    AmazonS3 client() {
        return client;
    }

    /** Reads a file at one version. Without one ("") it cannot be held to any, and that is the caller's last resort no more. */
    void during(String etag, Path path, Reading reading) throws IOException {
        if (etag.isEmpty()) {
            throw new VersionChangedException(path + " has no ETag to hold a read to");
        }
        Wanted w = new Wanted(bare(etag));
        wanted.set(w);
        try {
            reading.run();
        } catch (IOException | RuntimeException e) {
            if (!w.changed) {
                throw e;
            }
        } finally {
            wanted.remove();
        }
        if (w.changed) {
            throw new VersionChangedException(path + " is not at ETag " + etag + " any more");
        }
    }

    /** The present version of a file, for a request. */
    Known head(Path path) throws IOException {
        try {
            ObjectMetadata m = real.getObjectMetadata(path.toUri().getAuthority(), PrestoS3FileSystem.keyFromPath(path));
            String etag = m.getETag();
            return etag == null || etag.isEmpty() ? Known.NOTHING : known(etag, m.getContentLength());
        } catch (AmazonClientException e) {
            throw new IOException("version of " + path + ": " + e.getMessage(), e);
        }
    }

    /** A version by its ETag without quotes, as the SDK has it. */
    static Known known(String etag, long length) {
        return Known.of('"' + etag + '"', length, "etag", etag);
    }

    private static String bare(String etag) {
        return etag.length() > 1 && etag.startsWith("\"") && etag.endsWith("\"") ? etag.substring(1, etag.length() - 1) : etag;
    }

    private Object call(Object proxy, Method m, Object[] args) throws Throwable {
        Wanted w = wanted.get();
        boolean get = w != null && m.getName().equals("getObject") && args.length == 1 && args[0] instanceof GetObjectRequest;
        if (get) {
            ((GetObjectRequest) args[0]).withMatchingETagConstraint(w.etag);
        }
        if (names != null && !Listed.isWanted()) { // alio-hive wants to know how old a listing is
            Object known = names.answer(m, args);
            if (known != null) {
                return known;
            }
        }
        long asked = System.nanoTime();
        Object answer;
        try {
            answer = m.invoke(real, args);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
        if (get && !at(w.etag, (S3Object) answer)) {
            w.changed = true;
            AmazonS3Exception e = new AmazonS3Exception("the object is at another version");
            e.setStatusCode(404); // which Presto does not try again
            throw e;
        }
        if (answer instanceof ObjectListing && Listed.isWanted()) {
            for (S3ObjectSummary o : ((ObjectListing) answer).getObjectSummaries()) {
                Listed.add(o.getBucketName(), o.getKey(), o.getETag(), o.getSize(), asked);
            }
        }
        return answer;
    }

    /** Whether an answer is of a version; null: the store says it is not. */
    private static boolean at(String etag, S3Object answer) throws IOException {
        if (answer == null) {
            return false;
        }
        if (etag.equals(answer.getObjectMetadata().getETag())) {
            return true;
        }
        answer.getObjectContent().abort();
        answer.close();
        return false;
    }
}
