package io.alio.client;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;

/** What the caller knows of a file. Immutable; each method returns a copy with one thing more. */
public final class OpenHints {
    /** Nothing is known. */
    public static final OpenHints NONE = new OpenHints("", -1, Collections.emptyList(), "", null);

    private static final long ONE_PAGE = 256 << 10;

    private final String etag;
    private final long length;
    private final List<ByteRange> ranges;
    private final String tag;
    private final ClientFill fill;

    private OpenHints(String etag, long length, List<ByteRange> ranges, String tag, ClientFill fill) {
        this.etag = etag;
        this.length = length;
        this.ranges = ranges;
        this.tag = tag;
        this.fill = fill;
    }

    /**
     * The version that the caller knows to be the present one, from a listing as a rule, as the origin spells it with its quotes; it saves asking. A file
     * that has another by now is opened at that one: compare {@link AlioFile#object()}.
     */
    public OpenHints withEtag(String value) {
        return new OpenHints(Objects.requireNonNull(value, "etag"), length, ranges, tag, fill);
    }

    /**
     * The file's length in bytes as the caller knows it; below 0: it does not. A file that has another length at the sidecar is
     * {@link Unavailable#CHANGED}: a reader that looks for a footer at the end would fail on it.
     */
    public OpenHints withLength(long value) {
        return new OpenHints(etag, value, ranges, tag, fill);
    }

    /** The ranges that will be read, if the caller knows; their pages' places are asked for, others when they are read. None: all. */
    public OpenHints withRanges(List<ByteRange> value) {
        return new OpenHints(etag, length, Collections.unmodifiableList(new ArrayList<>(value)), tag, fill);
    }

    /**
     * Asks for all of a file whose length is given, if the caller is about to read it whole. So it does of a file of up to 256 KiB whatever the caller reads: that is
     * one page at the sidecar, which a sidecar that does not know the file's length would fetch after the file's end.
     */
    public OpenHints withWhole(boolean whole) {
        return length > 0 && (whole || length <= ONE_PAGE) ? withRanges(Collections.singletonList(new ByteRange(0, length))) : this;
    }

    /** What the file is read for (a query, a job): for the sidecar's log. What is longer than 128 bytes is cut. */
    public OpenHints withTag(String value) {
        return new OpenHints(etag, length, ranges, Objects.requireNonNull(value, "tag"), fill);
    }

    /** Has the caller fill what the sidecar lacks. */
    public OpenHints withFill(ClientFill value) {
        return new OpenHints(etag, length, ranges, tag, value);
    }

    public String etag() {
        return etag;
    }

    public long length() {
        return length;
    }

    public List<ByteRange> ranges() {
        return ranges;
    }

    public String tag() {
        return tag;
    }

    /** null: the sidecar reads the origin. */
    public ClientFill fill() {
        return fill;
    }
}
