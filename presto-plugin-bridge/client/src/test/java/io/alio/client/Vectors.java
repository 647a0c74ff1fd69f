package io.alio.client;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;

/** The vectors of api/testdata, which clients in every language agree with. */
final class Vectors {
    private Vectors() {}

    static Path folder() {
        Path at = Paths.get("").toAbsolutePath();
        while (at != null && !Files.isDirectory(at.resolve("api/testdata"))) {
            at = at.getParent();
        }
        if (at == null) {
            throw new IllegalStateException("api/testdata is in no folder above " + Paths.get("").toAbsolutePath());
        }
        return at.resolve("api/testdata");
    }

    static byte[] file(String name) {
        try {
            return Files.readAllBytes(folder().resolve(name));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static JsonObject json(String name) {
        return new Gson().fromJson(new String(file(name), StandardCharsets.UTF_8), JsonObject.class);
    }

    static byte[] hex(String s) {
        byte[] b = new byte[s.length() / 2];
        for (int i = 0; i < b.length; i++) {
            b[i] = (byte) Integer.parseInt(s.substring(2 * i, 2 * i + 2), 16);
        }
        return b;
    }

    /** The deterministic content of a page, as records.json says. */
    static byte[] generated(int x, int n) {
        byte[] b = new byte[n];
        for (int i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            b[i] = (byte) (x >>> 24);
        }
        return b;
    }
}
