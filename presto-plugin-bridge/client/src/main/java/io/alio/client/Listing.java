package io.alio.client;

import java.util.Collections;
import java.util.List;

/** One page of a listing. */
public final class Listing {
    private final List<AlioObject> objects;
    private final List<String> commonPrefixes;
    private final String nextToken;

    Listing(List<AlioObject> objects, List<String> commonPrefixes, String nextToken) {
        this.objects = Collections.unmodifiableList(objects);
        this.commonPrefixes = Collections.unmodifiableList(commonPrefixes);
        this.nextToken = nextToken;
    }

    public List<AlioObject> objects() {
        return objects;
    }

    public List<String> commonPrefixes() {
        return commonPrefixes;
    }

    /** For the next page; empty on the last one. */
    public String nextToken() {
        return nextToken;
    }
}
