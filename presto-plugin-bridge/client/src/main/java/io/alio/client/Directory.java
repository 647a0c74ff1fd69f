package io.alio.client;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One of the configured directories. Its segments are read only while the identity in it is the one that the sidecar tells. */
final class Directory {
    private static final String IDENTITY = "alio-disk.json";
    private static final int MOST = 4096;
    private static final Pattern ID = Pattern.compile("\"id\"\\s*:\\s*\"([0-9a-f]{32})\"");

    final Path path;
    final Device device;

    Directory(Path path, int readers) {
        this.path = path;
        this.device = new Device(path.toString(), readers);
    }

    Path segments() {
        return path.resolve("segments");
    }

    /** Opens a regular file and nothing else; no link is followed. */
    static FileChannel openRegular(Path file) throws IOException {
        if (!Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS).isRegularFile()) {
            throw new ForeignException(file + " is no regular file");
        }
        return FileChannel.open(file, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS);
    }

    /** A file that is not what it should be: it is not tried again. */
    static final class ForeignException extends IOException {
        private static final long serialVersionUID = 1;

        ForeignException(String message) {
            super(message);
        }
    }

    /** Reads the directory's identity. */
    String identify(long nanos) throws IOException, Device.Late {
        String[] id = new String[1];
        device.run(new Device.Work() {
            @Override
            public void run() throws IOException {
                id[0] = readIdentity(path.resolve(IDENTITY));
            }

            @Override
            public void left() {
                // nothing was lent
            }
        }, nanos);
        return id[0];
    }

    private static String readIdentity(Path file) throws IOException {
        ByteBuffer b = ByteBuffer.allocate(MOST + 1);
        try (FileChannel c = openRegular(file)) {
            while (b.hasRemaining() && c.read(b) >= 0) {
                // on
            }
        }
        if (!b.hasRemaining()) {
            throw new IOException(file + " has more than " + MOST + " bytes");
        }
        Matcher m = ID.matcher(new String(b.array(), 0, b.position(), StandardCharsets.UTF_8));
        if (!m.find()) {
            throw new IOException(file + " holds no id of 32 hex digits");
        }
        return m.group(1);
    }
}
