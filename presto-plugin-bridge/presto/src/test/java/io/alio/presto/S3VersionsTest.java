package io.alio.presto;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.amazonaws.services.s3.AmazonS3;
import com.amazonaws.services.s3.model.AmazonS3Exception;
import com.amazonaws.services.s3.model.GetObjectRequest;
import com.amazonaws.services.s3.model.ObjectListing;
import com.amazonaws.services.s3.model.S3Object;
import com.amazonaws.services.s3.model.S3ObjectSummary;
import io.alio.client.VersionChangedException;
import java.io.ByteArrayInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.net.URI;
import org.apache.hadoop.fs.Path;
import org.junit.jupiter.api.Test;

class S3VersionsTest {
    private static final Path FILE = new Path("s3a://lake/t/part-0");

    private String present = "one"; // the object's ETag
    private boolean conditions = true; // whether the store minds If-Match
    private GetObjectRequest asked;

    /** A store of one object. */
    private final AmazonS3 store = (AmazonS3) Proxy.newProxyInstance(AmazonS3.class.getClassLoader(), new Class<?>[] {AmazonS3.class}, (p, m, args) -> {
        if (m.getName().equals("listObjects")) {
            S3ObjectSummary o = new S3ObjectSummary();
            o.setBucketName("lake");
            o.setKey("t/part-0");
            o.setETag(present);
            o.setSize(7);
            ObjectListing l = new ObjectListing();
            l.getObjectSummaries().add(o);
            return l;
        }
        asked = (GetObjectRequest) args[0];
        if (conditions && !asked.getMatchingETagConstraints().isEmpty() && !asked.getMatchingETagConstraints().contains(present)) {
            return null; // what the SDK answers for 412
        }
        S3Object o = new S3Object();
        o.getObjectMetadata().setHeader("ETag", present);
        o.setObjectContent(new ByteArrayInputStream(new byte[7]));
        return o;
    });
    private final S3Versions versions = new S3Versions(store, null);

    private void get() {
        versions.client().getObject(new GetObjectRequest("lake", "t/part-0"));
    }

    @Test
    void readsAtTheVersionWanted() throws IOException {
        versions.during("\"one\"", FILE, this::get);
        assertEquals("[one]", asked.getMatchingETagConstraints().toString());
        get();
        assertEquals("[]", asked.getMatchingETagConstraints().toString(), "a read that is none of ours");
    }

    @Test
    void anotherVersionIsToldAndNotRead() {
        for (boolean minds : new boolean[] {true, false}) {
            conditions = minds;
            assertThrows(VersionChangedException.class, () -> versions.during("\"two\"", FILE, () -> {
                try {
                    get();
                } catch (AmazonS3Exception e) { // as PrestoS3FileSystem does
                    assertEquals(404, e.getStatusCode());
                    throw new FileNotFoundException();
                }
            }), "conditions: " + minds);
        }
        assertThrows(VersionChangedException.class, () -> versions.during("", FILE, this::get), "no version to hold it to");
    }

    @Test
    void otherFailuresStayWhatTheyAre() {
        IOException e = new IOException("broken");
        assertSame(e, assertThrows(IOException.class, () -> versions.during("\"one\"", FILE, () -> {
            throw e;
        })));
    }

    @Test
    void etagsOfListingsAreKeptForWhoAsked() {
        URI file = FILE.toUri();
        versions.client().listObjects("lake");
        assertEquals("", Listed.etag(file, 7, System.nanoTime() - 1_000_000_000), "nobody asked for them");
        Listed.begin();
        long begun = System.nanoTime();
        versions.client().listObjects("lake");
        assertEquals("one", Listed.etag(file, 7, begun));
        assertEquals("", Listed.etag(file, 8, begun), "of another length");
        assertEquals("", Listed.etag(file, 7, System.nanoTime() + 1), "from before");
        present = "two";
        versions.client().listObjects("lake");
        assertEquals("two", Listed.etag(file, 7, begun));
    }
}
