package harness

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readsInJava reads a file in each way that an engine may, once it is told to: 5 calls of 4,000,000, 100, 2,000, 300 and 400 bytes; and a hidden file.
const readsInJava = `
import java.io.*;
import java.nio.ByteBuffer;
public class Reads {
    public static void main(String[] a) throws Exception {
        System.out.println("ready");
        System.in.read();
        try (RandomAccessFile r = new RandomAccessFile(a[0], "r")) {
            r.seek(10);
            r.readFully(new byte[4000000]);
            r.seek(0);
            r.readFully(new byte[100]);
        }
        try (FileInputStream r = new FileInputStream(a[0])) {
            r.read(new byte[2000]);
            r.getChannel().read(ByteBuffer.allocate(300));
            r.getChannel().read(ByteBuffer.allocate(400), 77L);
        }
        try (FileInputStream r = new FileInputStream(a[1])) {
            r.read(new byte[50]);
        }
        System.out.println("done");
        System.in.read();
    }
}
`

// The Java of each engine: every read is counted, however it is made and however short, and no other.
func TestFileReads(t *testing.T) {
	newest, err := newestJDK()
	need(t, err)
	older, err := JDK()
	need(t, err)
	for _, jdk := range []string{newest, older} {
		t.Run(filepath.Base(jdk), func(t *testing.T) {
			dir, program := t.TempDir(), filepath.Join(t.TempDir(), "Reads.java")
			data, hidden := filepath.Join(dir, "data"), filepath.Join(dir, ".data.crc")
			need(t, os.WriteFile(program, []byte(readsInJava), 0o600))
			need(t, os.WriteFile(data, make([]byte, 5_000_000), 0o600))
			need(t, os.WriteFile(hidden, make([]byte, 100), 0o600))
			cmd := exec.Command(filepath.Join(jdk, "bin", "java"), program, data, hidden)
			in, err := cmd.StdinPipe()
			need(t, err)
			out, err := cmd.StdoutPipe()
			need(t, err)
			need(t, cmd.Start())
			lines := bufio.NewScanner(out)
			await := func(word string) {
				t.Helper()
				if !lines.Scan() || strings.TrimSpace(lines.Text()) != word {
					t.Fatalf("%q, %v, in place of %q", lines.Text(), lines.Err(), word)
				}
			}
			defer func() {
				_ = in.Close() // it ends by that
				need(t, cmd.Wait())
			}()
			await("ready")
			begun := time.Now()
			reads, err := RecordFileReads(t.Context(), cmd.Process.Pid, t.TempDir())
			need(t, err)
			_, err = in.Write([]byte("\n"))
			need(t, err)
			await("done")
			all, err := reads.Stop(t.Context())
			need(t, err)
			if n, bytes := ReadsOf(all, dir, begun, time.Now()); n != 5 || bytes != 4_002_800 {
				t.Errorf("%d reads of %d bytes, not 5 of 4,002,800: %v", n, bytes, all)
			}
			if n, _ := ReadsOf(all, dir, time.Now(), time.Now().Add(time.Hour)); n != 0 {
				t.Errorf("%d reads after all", n)
			}
		})
	}
}

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
