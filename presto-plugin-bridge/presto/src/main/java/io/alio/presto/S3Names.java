package io.alio.presto;

import com.amazonaws.services.s3.model.AmazonS3Exception;
import com.amazonaws.services.s3.model.GetObjectMetadataRequest;
import com.amazonaws.services.s3.model.ListObjectsRequest;
import com.amazonaws.services.s3.model.ObjectListing;
import com.amazonaws.services.s3.model.ObjectMetadata;
import com.amazonaws.services.s3.model.S3ObjectSummary;
import io.alio.client.AlioObject;
import io.alio.client.Presence;
import io.alio.hadoop.Names;
import java.lang.reflect.Method;
import java.util.Date;
import java.util.Optional;

/**
 * Answers in the place of S3 what the sidecar knows: whether an object is there, and what there is in a folder. Presto 0.287 asks that by {@code getObjectMetadata}, {@code
 * listObjects} and {@code listNextBatchOfObjects}; every other question, and every one with more in it than these have, goes to S3.
 */
final class S3Names {
    /** A page that the sidecar has answered: the next one is asked for by its token. */
    private static final class Page extends ObjectListing {
        private static final long serialVersionUID = 1;
        String token = "";
    }

    private final Names names;

    S3Names(Names names) {
        this.names = names;
    }

    /** The answer to a call of S3's client; null: S3 is to be asked. */
    Object answer(Method m, Object[] args) {
        switch (m.getName()) {
            case "getObjectMetadata":
                if (args.length == 2) {
                    return head((String) args[0], (String) args[1]);
                }
                GetObjectMetadataRequest head = (GetObjectMetadataRequest) args[0];
                boolean plain = head.getVersionId() == null && head.getSSECustomerKey() == null && head.getPartNumber() == null;
                return plain ? head(head.getBucketName(), head.getKey()) : null;
            case "listObjects":
                return args.length == 1 && args[0] instanceof ListObjectsRequest ? list((ListObjectsRequest) args[0]) : null;
            case "listNextBatchOfObjects":
                return args[0] instanceof Page ? next((Page) args[0]) : null;
            default:
                return null;
        }
    }

    private ObjectMetadata head(String bucket, String key) {
        Optional<Presence> p = names.presence(bucket, key);
        if (!p.isPresent()) {
            return null;
        }
        if (!p.get().isThere()) {
            AmazonS3Exception e = new AmazonS3Exception("Not Found");
            e.setStatusCode(404);
            e.setErrorCode("404 Not Found");
            throw e;
        }
        AlioObject o = p.get().object();
        if (o.size() == 0 || o.etag().isEmpty() || o.modifiedMillis() == 0) {
            return null; // an empty object may stand for a folder, which its Content-Type tells
        }
        ObjectMetadata m = new ObjectMetadata();
        m.setContentLength(o.size());
        m.setLastModified(new Date(o.modifiedMillis()));
        m.setHeader("ETag", bare(o.etag()));
        m.setContentType("application/octet-stream"); // as S3 says where nothing was said: Presto wants one, to tell folders
        return m;
    }

    private ObjectListing list(ListObjectsRequest r) {
        if (r.getBucketName() == null || r.getMarker() != null && !r.getMarker().isEmpty()) {
            return null;
        }
        Page page = new Page();
        page.setBucketName(r.getBucketName());
        page.setPrefix(r.getPrefix() == null ? "" : r.getPrefix());
        page.setDelimiter(r.getDelimiter());
        page.setMaxKeys(r.getMaxKeys() == null ? 0 : r.getMaxKeys());
        return fill(page, "");
    }

    private ObjectListing next(Page before) {
        if (before.token.isEmpty()) {
            return null;
        }
        Page page = new Page();
        page.setBucketName(before.getBucketName());
        page.setPrefix(before.getPrefix());
        page.setDelimiter(before.getDelimiter());
        page.setMaxKeys(before.getMaxKeys());
        page.setMarker(before.getNextMarker());
        return fill(page, before.token);
    }

    private ObjectListing fill(Page page, String token) {
        String delimiter = page.getDelimiter() == null ? "" : page.getDelimiter();
        Names.Page found = names.list(page.getBucketName(), page.getPrefix(), delimiter, token, page.getMaxKeys()).orElse(null);
        if (found == null) {
            return null;
        }
        String last = "";
        for (AlioObject o : found.listing().objects()) {
            if (o.modifiedMillis() == 0) {
                return null;
            }
            S3ObjectSummary s = new S3ObjectSummary();
            s.setBucketName(page.getBucketName());
            s.setKey(found.key(o.path()));
            s.setETag(bare(o.etag()));
            s.setSize(o.size());
            s.setLastModified(new Date(o.modifiedMillis()));
            s.setStorageClass("STANDARD");
            page.getObjectSummaries().add(s);
            last = s.getKey();
        }
        for (String p : found.listing().commonPrefixes()) {
            page.getCommonPrefixes().add(found.key(p));
            last = last.compareTo(found.key(p)) < 0 ? found.key(p) : last;
        }
        page.token = found.listing().nextToken();
        page.setTruncated(!page.token.isEmpty());
        page.setNextMarker(page.isTruncated() ? last : null); // by which S3 goes on if the sidecar does not
        return page;
    }

    private static String bare(String etag) {
        return etag.length() > 1 && etag.startsWith("\"") && etag.endsWith("\"") ? etag.substring(1, etag.length() - 1) : etag;
    }
}
