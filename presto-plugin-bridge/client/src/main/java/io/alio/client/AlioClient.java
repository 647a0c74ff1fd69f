package io.alio.client;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Reads through one sidecar. All methods may be called in parallel. */
public final class AlioClient implements AutoCloseable {
    private AlioClient() {}

    public static AlioClient create(AlioOptions options) {
        options.copy().validate();
        return new AlioClient();
    }

    public Opened open(String mount, String path, OpenHints hints) {
        return Opened.unavailable(Unavailable.UNREACHABLE, "not written yet");
    }

    public List<Opened> openAll(List<OpenRequest> files) {
        List<Opened> out = new ArrayList<>();
        files.forEach(f -> out.add(open(f.mount(), f.path(), f.hints())));
        return out;
    }

    public Optional<AlioObject> stat(String mount, String path) {
        return Optional.empty();
    }

    public Optional<Listing> list(String mount, String prefix, String delimiter, String startAfter, String token, int maxKeys) {
        return Optional.empty();
    }

    public Optional<SidecarStatus> status() {
        return Optional.empty();
    }

    public boolean invalidate(String mount, String path, boolean prefix) {
        return false;
    }

    public AlioMetrics metrics() {
        return null;
    }

    @Override
    public void close() {}
}
