package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alio-lake/alio/cmd/alio/bench"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
	"github.com/alio-lake/alio/cmd/alio/bench/proc"
)

//go:embed java
var javaFiles embed.FS

// copyDependencies puts the jars of a pom into a folder; the plugin's version is pinned like everything else.
const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

// clientSources is where the sources of Alio's Java client lie, which need no other library.
const clientSources = "../../presto-plugin-bridge/client/src/main/java"

// alluxioPages are the page sizes that are tried for each cell; 1 MiB is its default.
var alluxioPages = []int{1 << 20, 64 << 10}

// placesPerReader is how many reads are drawn for each reader; a JVM reads them over and over.
const placesPerReader = 1 << 16

// addAlluxio starts Alluxio's cache once for each page size.
func addAlluxio(ctx context.Context, o options, data load.Data, dir string, f *field) error {
	jars, err := alluxioJars(ctx)
	if err != nil {
		return fmt.Errorf("%w\n(leave Alluxio out with -peers)", err)
	}
	p, err := newJavaProgram(ctx, dir, "AlluxioGet", filepath.Join(jars, "*"))
	if err != nil {
		return err
	}
	ways := map[string][]string{}
	for _, page := range alluxioPages {
		home := filepath.Join(dir, "alluxio-"+strconv.Itoa(page))
		if err := os.MkdirAll(filepath.Join(home, "LOCAL"), 0o700); err != nil {
			return err
		}
		ways[fmt.Sprintf("pages of %d KiB", page>>10)] = []string{home, strconv.Itoa(page)}
	}
	return p.add(ctx, o, data, f, peer{name: peerAlluxio, what: "Alluxio 2.9.6 LocalCacheManager.get inside the JVM, a file for each page, no sums (best of pages of 1 MiB and 64 KiB)"}, ways)
}

// addJava starts Alio's Java client beside a warm sidecar, reading and, apart, mapping the segments.
func addJava(ctx context.Context, o options, data load.Data, dir string, s *bench.Sidecar, f *field) error {
	p, err := newJavaProgram(ctx, dir, "AlioGet", clientSources)
	if err != nil {
		return err
	}
	for _, one := range []struct{ name, way, what string }{
		{peerJava, "read", "Alio's Java client inside the JVM: reads the segments itself and checks their sums"},
		{peerJavaMapped, "mapped", "the same with the segments mapped, which is opt-in"},
	} {
		if slices.Contains(o.peers, one.name) {
			if err := p.add(ctx, o, data, f, peer{name: one.name, what: one.what}, map[string][]string{"": {s.Socket, s.Dir, bench.Mount, one.way}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// addChannel starts the least that reads and sums in a JVM.
func addChannel(ctx context.Context, o options, data load.Data, dir string, f *field) error {
	p, err := newJavaProgram(ctx, dir, "ChannelGet", "")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "flat-java")
	if err := writeFlat(file, data); err != nil {
		return err
	}
	return p.add(ctx, o, data, f, peer{name: peerChannel, what: "a bare FileChannel of a flat file and the JDK's CRC32C, in a JVM: no look-up, no header"}, map[string][]string{"": {file}})
}

// javaProgram is one of the programs in java/, compiled.
type javaProgram struct {
	java, class, classPath, dir string
}

// newJavaProgram compiles a program. with is what it needs: jars ("…/*"), a folder of sources, or nothing.
func newJavaProgram(ctx context.Context, dir, class, with string) (*javaProgram, error) {
	home, err := javaHome()
	if err != nil {
		return nil, err
	}
	p := &javaProgram{java: filepath.Join(home, "bin", "java"), class: class, classPath: filepath.Join(dir, class), dir: dir}
	if err := os.MkdirAll(p.classPath, 0o700); err != nil {
		return nil, err
	}
	args := []string{"-nowarn", "-d", p.classPath, "-sourcepath", p.classPath}
	switch {
	case strings.HasSuffix(with, "*"):
		args = append(args, "-cp", with)
		p.classPath += ":" + with
	case with != "":
		args[len(args)-1] += ":" + with
	}
	for _, name := range []string{"Get.java", class + ".java"} {
		text, err := javaFiles.ReadFile("java/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, class, name), text, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	_, err = output(ctx, filepath.Join(home, "bin", "javac"), append(args, filepath.Join(dir, class, class+".java"))...)
	return p, err
}

// add starts the program once for each way, warms its compiler, and adds a peer of these set-ups. A way's arguments follow the data set's.
func (p *javaProgram) add(ctx context.Context, o options, data load.Data, f *field, one peer, ways map[string][]string) error {
	one.inProcess = true
	for _, way := range slices.Sorted(maps.Keys(ways)) {
		j, err := p.start(ctx, data, filepath.Join(p.dir, p.class+"-places-"+strconv.Itoa(len(f.peers))+"-"+strconv.Itoa(len(one.setups))), ways[way])
		if err != nil {
			return err
		}
		f.onClose(func() error { j.child.Kill(); return nil })
		cell := cellOf(o, data, min(1<<20, int(data.ObjectSize)), 2, 0)
		cell.Duration = max(cell.Duration, time.Second) // for its compiler to have seen the code
		for _, cell.Bytes = range o.bytes {
			if _, err := j.run(ctx, cell); err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
		}
		one.setups = append(one.setups, setup{name: way, run: j.run})
	}
	f.add(one)
	return nil
}

// jvm is a JVM with a warm cache.
type jvm struct {
	child  *proc.Process
	in     io.Writer
	out    *bufio.Reader
	places string // the file that tells what is read
}

func (p *javaProgram) start(ctx context.Context, data load.Data, places string, args []string) (*jvm, error) {
	cmd := exec.Command(p.java, append([]string{"-Xms1g", "-Xmx1g", "-cp", p.classPath, p.class, strconv.FormatInt(data.Size, 10),
		strconv.FormatInt(data.ObjectSize, 10), strconv.FormatUint(data.Seed, 10)}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	j := &jvm{in: in, out: bufio.NewReader(r), places: places}
	j.child, err = proc.Start(ctx, cmd, nil)
	w.Close()
	if err != nil {
		return nil, err
	}
	var ready struct{ Ready bool }
	if err := j.answer(ctx, &ready); err != nil || !ready.Ready {
		j.child.Kill()
		return nil, fmt.Errorf("%s did not start: %w; the end of its output:\n%s", p.class, err, j.child.Output())
	}
	return j, nil
}

// answer reads a line of JSON from the process; what else it prints is passed over.
func (j *jvm) answer(ctx context.Context, v any) error {
	defer context.AfterFunc(ctx, j.child.Kill)() // ends the read
	for {
		line, err := j.out.ReadBytes('\n')
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		if line[0] == '{' {
			return json.Unmarshal(line, v)
		}
	}
}

func (j *jvm) run(ctx context.Context, cell load.Cell) (s sample, err error) {
	if err := writePlaces(j.places, cell); err != nil {
		return s, err
	}
	before, err := proc.CPU(j.child.PID())
	if err != nil {
		return s, err
	}
	if _, err := fmt.Fprintf(j.in, "%d %d %d %s\n", cell.Bytes, cell.Readers, cell.Duration.Milliseconds(), j.places); err != nil {
		return s, err
	}
	var r struct {
		Error string
		Reads int64
		P50   float64 `json:"p50_us"`
		P99   float64 `json:"p99_us"`
		GB    float64 `json:"gb_per_s"`
	}
	if err := j.answer(ctx, &r); err != nil {
		return s, fmt.Errorf("%w; the end of its output:\n%s", err, j.child.Output())
	}
	if r.Error != "" {
		return s, errors.New(r.Error)
	}
	after, err := proc.CPU(j.child.PID())
	return sample{r.P50, r.P99, r.GB, (after - before).Seconds() / (float64(r.Reads*int64(cell.Bytes)) / 1e9)}, err
}

// writePlaces writes the reads that this process's readers would make of the cell.
func writePlaces(file string, cell load.Cell) error {
	b := make([]byte, 0, 8*placesPerReader*cell.Readers)
	for i := range cell.Readers {
		r, err := load.NewRanges(cell.Data, cell.Bytes, cell.Access, load.SeedOf(cell.Seed, i))
		if err != nil {
			return err
		}
		for range placesPerReader {
			b = binary.LittleEndian.AppendUint64(b, uint64(r.Next()))
		}
	}
	return os.WriteFile(file, b, 0o600)
}

// javaHome finds a JDK: JAVA_HOME, else the last of the system's that has a compiler.
func javaHome() (string, error) {
	homes, _ := filepath.Glob("/usr/lib/jvm/*")
	slices.Sort(homes)
	slices.Reverse(homes)
	if h := os.Getenv("JAVA_HOME"); h != "" {
		homes = []string{h}
	}
	for _, h := range homes {
		if _, err := os.Stat(filepath.Join(h, "bin", "javac")); err == nil {
			return h, nil
		}
	}
	return "", errors.New("no JDK (17 or newer), which compiles the programs that read inside a JVM: set JAVA_HOME, or apt-get install openjdk-17-jdk-headless")
}

// alluxioJars is a folder with exactly the jars of jars.lock, fetched by mvn if it is not there.
func alluxioJars(ctx context.Context) (string, error) {
	lock, err := javaFiles.ReadFile("java/jars.lock")
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	home := filepath.Join(cache, "alluxio-2.9.6-"+hex.EncodeToString(sum[:6]))
	if checkJars(home, string(lock)) == nil {
		return home, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("mvn, through which Alluxio comes, is not on the PATH: install Maven 3.6 or newer")
	}
	progress("fetching Alluxio 2.9.6 and what it needs through Maven (100 MB, about a minute)")
	tmp, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	pom, err := javaFiles.ReadFile("java/pom.xml")
	if err == nil {
		err = os.WriteFile(filepath.Join(tmp, "pom.xml"), pom, 0o600)
	}
	if err != nil {
		return "", err
	}
	jars := filepath.Join(tmp, "jars")
	cmd := exec.Command(mvn, "-B", "-ntp", "-q", copyDependencies, "-DincludeScope=runtime", "-DoutputDirectory="+jars, "-Dmaven.repo.local="+filepath.Join(filepath.Dir(cache), "maven"))
	cmd.Dir = tmp
	if _, err := proc.Run(ctx, cmd); err != nil {
		return "", err
	}
	if err := checkJars(jars, string(lock)); err != nil {
		return "", fmt.Errorf("%w; the download was thrown away: compare jars.lock with Maven Central", err)
	}
	return home, errors.Join(os.RemoveAll(home), os.Rename(jars, home))
}

// checkJars compares a folder with a lock: exactly those files, with those sums.
func checkJars(dir, lock string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	known := 0
	for i, line := range strings.Split(lock, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " ")
		if len(f) != 3 {
			return fmt.Errorf("jars.lock line %d: want file, bytes, sha256", i+1)
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return fmt.Errorf("jars.lock line %d: %w", i+1, err)
		}
		if err := verify(filepath.Join(dir, f[0]), n, f[2]); err != nil {
			return err
		}
		known++
	}
	if len(entries) != known {
		return fmt.Errorf("%s holds %d files, jars.lock %d", dir, len(entries), known)
	}
	return nil
}

// verify compares a file's length and sum.
func verify(file string, bytes int64, sum string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); n != bytes || got != sum {
		return fmt.Errorf("%s has %d bytes and sha256 %s, and should have %d and %s", filepath.Base(file), n, got, bytes, sum)
	}
	return nil
}
