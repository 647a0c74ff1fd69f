package io.alio.presto;

import static org.junit.jupiter.api.Assertions.assertNull;

import com.amazonaws.services.s3.AmazonS3;
import com.amazonaws.services.s3.model.GetObjectMetadataRequest;
import com.amazonaws.services.s3.model.ListObjectsRequest;
import com.amazonaws.services.s3.model.ObjectListing;
import io.alio.hadoop.Names;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What the sidecar is not asked for, or cannot tell, goes to S3. What it can is shown on the engine (itest). */
class S3NamesTest {
    private final S3Names names = new S3Names(Names.of(settings("true")::get));

    private static Map<String, String> settings(String metadata) {
        Map<String, String> s = new HashMap<>();
        s.put("alio.address", "/nonexistent/alio.sock");
        s.put("alio.metadata", metadata);
        s.put("alio.jmx.name", "names-" + metadata);
        return s;
    }

    private Object answer(String method, Class<?> type, Object arg) throws NoSuchMethodException {
        return names.answer(AmazonS3.class.getMethod(method, type), new Object[] {arg});
    }

    @Test
    void isOffUnlessAskedFor() {
        assertNull(Names.of(settings("false")::get));
    }

    @Test
    void withoutASidecarS3IsAsked() throws NoSuchMethodException {
        assertNull(answer("getObjectMetadata", GetObjectMetadataRequest.class, new GetObjectMetadataRequest("lake", "t/a")));
        assertNull(answer("listObjects", ListObjectsRequest.class, new ListObjectsRequest("lake", "t/", null, "/", 1)));
        assertNull(answer("listNextBatchOfObjects", ObjectListing.class, new ObjectListing()));
        assertNull(answer("listObjects", String.class, "lake"));
    }
}
