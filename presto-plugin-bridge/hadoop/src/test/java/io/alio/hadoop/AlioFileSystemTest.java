package io.alio.hadoop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Local files that the bridge fills itself, with no sidecar at its address: all of it is read by the file system behind, and held to one version. */
class AlioFileSystemTest {
    @TempDir
    java.nio.file.Path dir;
    private FileSystem fs;
    private java.nio.file.Path file;

    private Configuration conf() {
        Configuration c = new Configuration();
        c.set("fs.file.impl", AlioFileSystem.class.getName());
        c.set("alio.fs.file.impl", RawLocalFileSystem.class.getName());
        c.set("alio.address", dir.resolve("no.sock").toString());
        return c;
    }

    @BeforeEach
    void start() throws IOException {
        fs = FileSystem.newInstance(URI.create("file:///"), conf());
        file = dir.resolve("file");
    }

    @AfterEach
    void stop() throws IOException {
        fs.close();
    }

    private void write(String text, long modified) throws IOException {
        Files.write(file, text.getBytes(StandardCharsets.UTF_8));
        assertTrue(file.toFile().setLastModified(modified));
    }

    private Path path() {
        return new Path(file.toUri());
    }

    @Test
    void readsByTheFileSystemBehind() throws IOException {
        write("0123456789", 1_000_000_000_000L);
        try (FSDataInputStream in = fs.open(path())) {
            assertTrue(in.getWrappedStream() instanceof AlioInputStream, "it is opened through the bridge");
            byte[] b = new byte[4];
            in.readFully(3, b);
            assertArrayEquals("3456".getBytes(StandardCharsets.UTF_8), b);
            in.seek(8);
            assertEquals('8', in.read());
            assertEquals('9', in.read());
            assertEquals(-1, in.read());
        }
        assertThrows(FileNotFoundException.class, () -> fs.open(new Path(file + ".no")));
        assertEquals(10, fs.getFileStatus(path()).getLen());
    }

    @Test
    void aFileThatChangedBeforeItWasReadIsReadAsItIsNow() throws IOException {
        write("before", 1_000_000_000_000L);
        try (FSDataInputStream in = fs.open(path())) {
            write("later, and longer", 1_000_000_001_000L);
            byte[] b = new byte[5];
            in.readFully(0, b);
            assertEquals("later", new String(b, StandardCharsets.UTF_8));
            in.readFully(12, b);
            assertEquals("onger", new String(b, StandardCharsets.UTF_8));
        }
    }

    @Test
    void aFileThatChangedWhileItWasReadFails() throws IOException {
        write("0123456789", 1_000_000_000_000L);
        try (FSDataInputStream in = fs.open(path())) {
            in.readFully(0, new byte[5]);
            write("abcdefghij", 1_000_000_001_000L);
            String message = assertThrows(IOException.class, () -> in.readFully(5, new byte[5])).getMessage();
            assertTrue(message.contains("was replaced while it was read"), message);
        }
    }

    @Test
    void itDoesNotStandBeforeItself() {
        Configuration c = conf();
        c.set("alio.fs.file.impl", AlioFileSystem.class.getName());
        IOException e = assertThrows(IOException.class, () -> FileSystem.newInstance(URI.create("file:///"), c));
        assertTrue(e.getMessage().contains("alio.fs.file.impl"), Arrays.asList(e.getMessage(), e).toString());
    }
}
