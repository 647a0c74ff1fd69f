package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// FileRead is one call of a Java program that has read a file: of RandomAccessFile, FileInputStream or FileChannel.
type FileRead struct {
	Time  time.Time // when it began
	Path  string
	Bytes int64 // that it got
}

// FileReads counts what a running Java reads of files, where no server passes such reads: the JVM's own recorder (JFR) has an event for each call, jdk.FileRead, which
// is kept here however short the call was.
type FileReads struct {
	pid int
	jdk string
	dir string
}

// fileReadSettings have the recorder keep every read and nothing else. By default it keeps those of 10 ms and more, and of many of them a sample.
const fileReadSettings = `<?xml version="1.0" encoding="UTF-8"?>
<configuration version="2.0">
  <event name="jdk.FileRead">
    <setting name="enabled">true</setting>
    <setting name="threshold">0 ns</setting>
    <setting name="throttle">off</setting>
    <setting name="stackTrace">false</setting>
  </event>
</configuration>
`

// RecordFileReads begins to count the reads of a process, which must be able to write into dir.
func RecordFileReads(ctx context.Context, pid int, dir string) (*FileReads, error) {
	jdk, err := newestJDK()
	if err != nil {
		return nil, err
	}
	r := &FileReads{pid: pid, jdk: jdk, dir: dir}
	settings := filepath.Join(dir, "reads.jfc")
	if err := os.WriteFile(settings, []byte(fileReadSettings), 0o644); err != nil {
		return nil, err
	}
	return r, r.jcmd(ctx, "JFR.start", "name=reads", "settings="+settings)
}

// Stop ends the count and gives every read that began meanwhile, in no order.
func (r *FileReads) Stop(ctx context.Context) ([]FileRead, error) {
	file := filepath.Join(r.dir, "reads.jfr")
	if err := r.jcmd(ctx, "JFR.stop", "name=reads", "filename="+file); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(r.jdk, "bin", "jfr"), "print", "--json", "--stack-depth", "0", "--events", "jdk.FileRead", file).Output()
	if err != nil {
		return nil, fmt.Errorf("jfr print %s: %w", file, err)
	}
	var printed struct {
		Recording struct {
			Events []struct {
				Values struct {
					StartTime time.Time
					Path      string
					BytesRead int64
				}
			}
		}
	}
	if err := json.Unmarshal(out, &printed); err != nil {
		return nil, fmt.Errorf("jfr print %s: %w", file, err)
	}
	var reads []FileRead
	for _, e := range printed.Recording.Events {
		reads = append(reads, FileRead{Time: e.Values.StartTime, Path: e.Values.Path, Bytes: e.Values.BytesRead})
	}
	return reads, nil
}

// jcmd gives the process a command. It tells of some faults in its answer only.
func (r *FileReads) jcmd(ctx context.Context, command ...string) error {
	out, err := exec.CommandContext(ctx, filepath.Join(r.jdk, "bin", "jcmd"), append([]string{fmt.Sprint(r.pid)}, command...)...).CombinedOutput()
	if err == nil && !strings.Contains(string(out), "Started recording") && !strings.Contains(string(out), "Stopped recording") {
		err = fmt.Errorf("it has not done so")
	}
	if err != nil {
		return fmt.Errorf("jcmd %d %s: %w\n%s", r.pid, strings.Join(command, " "), err, out)
	}
	return nil
}

// ReadsOf sums up the reads below a folder that began in a span of time. Hidden files do not count: sums beside the data, and the metastore's.
func ReadsOf(all []FileRead, dir string, from, to time.Time) (reads int, bytes int64) {
	for _, r := range all {
		if strings.HasPrefix(r.Path, dir+"/") && !strings.HasPrefix(filepath.Base(r.Path), ".") && !r.Time.Before(from) && r.Time.Before(to) {
			reads++
			bytes += r.Bytes
		}
	}
	return reads, bytes
}
