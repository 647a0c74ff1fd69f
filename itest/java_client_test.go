package itest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
)

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// javaReaders is the Java program Readers: threads that read random ranges through a sidecar and compare every byte.
type javaReaders struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errors bytes.Buffer
	ended  bool
}

func startReaders(t *testing.T, arguments ...string) *javaReaders {
	t.Helper()
	return startReadersAs(t, nil, javaJars(t), arguments...)
}

// javaJars are the client's jars, tests included.
func javaJars(t *testing.T) []string {
	t.Helper()
	folder, err := harness.Bridge(t.Context(), "client", t.Logf)
	need(t, err)
	jars, err := filepath.Glob(filepath.Join(folder, "target", "*.jar"))
	need(t, err)
	return jars
}

// startReadersAs starts them as another user; nil: as this one.
func startReadersAs(t *testing.T, user *syscall.Credential, jars []string, arguments ...string) *javaReaders {
	t.Helper()
	return startJava(t, user, jars, "io.alio.client.Readers", arguments...)
}

// startJava starts one of the programs among the client's tests.
func startJava(t *testing.T, user *syscall.Credential, jars []string, program string, arguments ...string) *javaReaders {
	t.Helper()
	jdk, err := harness.JDK()
	need(t, err)
	r := &javaReaders{t: t}
	r.cmd = exec.Command(filepath.Join(jdk, "bin", "java"), append([]string{"-Xmx512m", "-cp", strings.Join(jars, ":"), program}, arguments...)...)
	r.cmd.Stderr = &r.errors
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: user}
	r.in, err = r.cmd.StdinPipe()
	need(t, err)
	out, err := r.cmd.StdoutPipe()
	need(t, err)
	r.out = bufio.NewReader(out)
	need(t, r.cmd.Start())
	t.Cleanup(func() {
		if !r.ended {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait() // says that it was killed
		}
		if t.Failed() {
			t.Logf("the readers wrote:\n%s", r.errors.String())
		}
	})
	return r
}

// report is the counters at this moment. That a reader has found a wrong byte, or an exception, ends the test.
func (r *javaReaders) report() map[string]float64 {
	r.t.Helper()
	_, err := io.WriteString(r.in, "report\n")
	need(r.t, err)
	return r.line()
}

func (r *javaReaders) line() map[string]float64 {
	r.t.Helper()
	line, err := r.out.ReadString('\n')
	if err != nil {
		r.t.Fatalf("the readers have ended: %v", err)
	}
	all := counted(r.t, line)
	if all["Failed"] != 0 {
		r.stop()
	}
	return all
}

// counted reads a line of counters, name=value with commas between them.
func counted(t *testing.T, line string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, field := range strings.Split(strings.TrimSpace(line), ",") {
		name, value, _ := strings.Cut(field, "=")
		var err error
		all[name], err = strconv.ParseFloat(value, 64)
		need(t, err)
	}
	return all
}

// stop ends the readers and fails the test if any of them has found a wrong byte, or an exception.
func (r *javaReaders) stop() map[string]float64 {
	r.t.Helper()
	_, err := io.WriteString(r.in, "stop\n")
	need(r.t, err)
	need(r.t, r.in.Close())
	rest, err := io.ReadAll(r.out)
	need(r.t, err)
	r.ended = true
	if err := r.cmd.Wait(); err != nil {
		r.t.Fatalf("the readers: %v: %s", err, rest)
	}
	lines := strings.Split(strings.TrimSpace(string(rest)), "\n")
	r.out = bufio.NewReader(strings.NewReader(lines[len(lines)-1] + "\n"))
	return r.line()
}

// until waits for a condition on the counters, and returns them.
func (r *javaReaders) until(what string, ok func(now map[string]float64) bool) map[string]float64 {
	r.t.Helper()
	var now map[string]float64
	for end := time.Now().Add(60 * time.Second); ; <-time.After(10 * time.Millisecond) {
		if now = r.report(); ok(now) {
			return now
		}
		if time.Now().After(end) {
			r.t.Fatalf("not within 60 s: %s; the counters: %v", what, now)
		}
	}
}

// more waits until so many reads more were made.
func (r *javaReaders) more(reads float64) map[string]float64 {
	r.t.Helper()
	from := r.report()["Reads"]
	return r.until("readers go on", func(now map[string]float64) bool { return now["Reads"] >= from+reads })
}

// javaRig is an S3 server with files, and a sidecar that holds a part of them, so that it always evicts.
type javaRig struct {
	t      *testing.T
	origin string // folder with the files
	socket string
	tcp    string
	side   *harness.Alio
	rng    *rand.Rand
	seed   uint64
}

const javaToken = "0123456789abcdef0123456789abcdef"

func newJavaRig(t *testing.T) *javaRig {
	t.Helper()
	r := &javaRig{t: t, seed: uint64(time.Now().UnixNano())}
	if s := os.Getenv("ALIO_SEED"); s != "" {
		var err error
		r.seed, err = strconv.ParseUint(s, 10, 64)
		need(t, err)
	}
	t.Logf("ALIO_SEED=%d", r.seed)
	r.rng = rand.New(rand.NewPCG(r.seed, 7))
	short, err := os.MkdirTemp("", "al")
	need(t, err)
	t.Cleanup(func() { os.RemoveAll(short) })
	port, err := harness.PickPort()
	need(t, err)
	t.Cleanup(port.Release)
	r.origin, r.socket, r.tcp = t.TempDir(), filepath.Join(short, "s"), port.Addr()
	server := harness.S3(t)
	for i := range 8 {
		name := fmt.Sprint("f", i)
		b := make([]byte, 2<<20+r.rng.IntN(2<<20))
		_, _ = rand.NewChaCha8([32]byte{byte(r.seed), byte(i)}).Read(b)
		need(t, os.WriteFile(filepath.Join(r.origin, name), b, 0o644))
		_, err := server.Client().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &server.Bucket, Key: &name, Body: bytes.NewReader(b)})
		need(t, err)
	}
	r.side = harness.SidecarWith(t, harness.AlioOptions{Endpoint: server.Endpoint, Bucket: server.Bucket, AccessKey: server.AccessKey, SecretKey: server.SecretKey,
		Socket: r.socket, CacheSize: "16MiB", Memory: "8MiB", GRPCListen: r.tcp, GRPCToken: javaToken,
		ExtraYAML: "freshness: {rules: [{path: \"**\", max_age: 1s}]}\n"})
	return r
}

func (r *javaRig) readers(arguments ...string) *javaReaders {
	return startReaders(r.t, r.arguments(r.side.CacheDir, arguments...)...)
}

func (r *javaRig) arguments(directory string, more ...string) []string {
	return append([]string{"origin=" + r.origin, "directories=" + directory, "seed=" + strconv.FormatUint(r.seed%1_000_000, 10)}, more...)
}

// damage flips bits in a few of the segment files that there are.
func (r *javaRig) damage() {
	files, err := filepath.Glob(filepath.Join(r.side.CacheDir, "segments", "*.seg"))
	need(r.t, err)
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // evicted meanwhile
		}
		if st, err := f.Stat(); err == nil && st.Size() > 4096 {
			for range 4 {
				var b [1]byte
				at := 64 + r.rng.Int64N(st.Size()-128)
				if _, err := f.ReadAt(b[:], at); err == nil {
					b[0] ^= 1 << r.rng.IntN(8)
					_, _ = f.WriteAt(b[:], at) // a punched or preallocated place is as good
				}
			}
		}
		f.Close()
	}
}

func (r *javaRig) signal(sig syscall.Signal) { need(r.t, syscall.Kill(-r.side.PID(), sig)) }

// TestJavaClient: the Java client's threads, many on one file and some on each, go on through kill -9, SIGSTOP and restart of the sidecar, damaged and
// evicted segments, and interruptions: every byte is right, no read fails, and afterwards segments are read locally as before.
func TestJavaClient(t *testing.T) {
	for _, way := range []struct {
		name      string
		tcp       bool
		retired   float64 // segments that go before the trouble; of those that clients fill, as many as a busy machine takes in time
		times     int     // that the sidecar is killed, and that it hangs
		arguments []string
	}{
		{name: "socket", retired: 4, times: 10},
		{name: "mapped", retired: 4, times: 4, arguments: []string{"mapping=true", "guard=NONE", "interrupt=true"}},
		{name: "tcp", tcp: true, retired: 4, times: 4, arguments: []string{"token=" + javaToken, "guard=ALL", "interrupt=true"}},
		{name: "filled", times: 4, arguments: []string{"fill=true", "mount=elsewhere"}},
	} {
		t.Run(way.name, func(t *testing.T) {
			r := newJavaRig(t)
			address := r.socket
			if way.tcp {
				address = r.tcp
			}
			readers := r.readers(append(way.arguments, "address="+address, "threads=8")...)
			before := readers.until("segments are read locally", func(now map[string]float64) bool {
				return now["LocalPages"] > 2000 && now["RetiredSegments"] >= way.retired
			})
			r.killed(readers, way.times)
			r.stopped(readers, way.times)
			r.damaged(readers)
			local := readers.report()["LocalBytes"]
			readers.until("segments are read locally again", func(now map[string]float64) bool { return now["LocalBytes"] > local+50<<20 && now["BreakerOpen"] == 0 })
			end := readers.stop()
			if end["OpenSegments"] > 6 || end["Forgets"] < 1 || end["TouchedPages"] == 0 || end["BypassedBytes"]+end["FilledBytes"] == 0 {
				t.Errorf("counters at the end: %v", end)
			}
			if mapped := end["MappedBytes"]; way.name != "mapped" && mapped != 0 {
				t.Errorf("%v bytes mapped", mapped)
			}
			t.Logf("%.0f reads of %.0f MB compared; locally %.0f MB, by the sidecar %.0f, bypassed %.0f, filled %.0f; before the trouble %.0f reads; %v",
				end["Reads"], end["Bytes"]/1e6, end["LocalBytes"]/1e6, end["SidecarBytes"]/1e6, end["BypassedBytes"]/1e6, end["FilledBytes"]/1e6, before["Reads"], end)
		})
	}
}

// TestJavaClientOfAnotherUser: an engine whose user may not read the sidecar's directory gets every byte by the connection, and is told once what to put right.
func TestJavaClientOfAnotherUser(t *testing.T) {
	r := newJavaRig(t)
	directory := r.side.CacheDir
	var user *syscall.Credential
	if os.Getuid() == 0 { // who may read everything, so the engine is somebody else
		user = &syscall.Credential{Uid: 65534, Gid: 65534}
		need(t, os.Chmod(filepath.Dir(r.origin), 0o755))
	} else {
		directory = filepath.Join(t.TempDir(), "closed")
		need(t, os.Mkdir(directory, 0))
	}
	var jars []string
	for _, jar := range javaJars(t) { // this checkout may be closed to that user
		b, err := os.ReadFile(jar)
		need(t, err)
		jars = append(jars, filepath.Join(r.origin, "..", filepath.Base(jar)))
		need(t, os.WriteFile(jars[len(jars)-1], b, 0o644))
	}
	readers := startReadersAs(t, user, jars, r.arguments(directory, "address="+r.tcp, "token="+javaToken, "threads=4")...)
	readers.more(2000)
	end := readers.stop()
	if end["LocalPages"] > 0 || end["SidecarBytes"] == 0 {
		t.Errorf("counters at the end: %v", end)
	}
	warned := readers.errors.String()
	if n := strings.Count(warned, "cannot be identified"); n != 1 || !strings.Contains(warned, "May this user read it") || !strings.Contains(warned, "AccessDenied") {
		t.Errorf("%d warnings, one was expected, with cause and remedy:\n%s", n, warned)
	}
}

// TestJavaClientPaysOnce: of a sidecar that hangs, each thread waits for the one call that it has under way, and for no more; when it goes on, it is used again
// at once, however long the pauses between two attempts to connect may be. So it is when the client is started beside a sidecar that hangs already.
func TestJavaClientPaysOnce(t *testing.T) {
	r := newJavaRig(t)
	for _, threads := range []float64{1, 8} {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			// No directories: every read calls. The deadline is one that a busy machine does not miss, the pause one that this test does not wait for.
			r.signal(syscall.SIGSTOP)
			readers := r.readers("address="+r.socket, "directories=", fmt.Sprint("threads=", threads), "control=250", "backoff=60000")
			readers.more(50)
			now := readers.report()
			if waited := now["LateCalls"] + now["UnreachedCalls"]; waited < 1 || waited > threads { // a busy machine may not connect in time
				t.Errorf("%.0f threads waited %.0f times for a sidecar that hung from the start", threads, waited)
			}
			r.signal(syscall.SIGCONT)
			readers.until("the sidecar is used", func(now map[string]float64) bool { return now["AnsweredCalls"] > 10 })
			for _, long := range []bool{false, true, false, true} {
				r.hang(t, readers, threads, long)
			}
			readers.stop()
		})
	}
}

// hang stops the sidecar, until the first call was late or for long, and has it go on.
func (r *javaRig) hang(t *testing.T, readers *javaReaders, threads float64, long bool) {
	t.Helper()
	before := readers.until("the sidecar is used", func(now map[string]float64) bool { return now["BreakerOpen"] == 0 })
	r.signal(syscall.SIGSTOP)
	readers.until("a call is late", func(now map[string]float64) bool { return now["Suspicions"] > before["Suspicions"] })
	if long {
		readers.until("the breaker opens", func(now map[string]float64) bool { return now["BreakerOpen"] == 1 })
		now := readers.more(100)
		if slowest := max(now["SlowestMicros"], now["SlowestOpenMicros"]); slowest > 1e6 {
			t.Errorf("a deadline of 250 ms held a reader for %.0f ms", slowest/1e3)
		}
	}
	answered := readers.report()["AnsweredCalls"]
	r.signal(syscall.SIGCONT)
	went := time.Now()
	now := readers.until("calls are answered again", func(now map[string]float64) bool { return now["AnsweredCalls"] > answered })
	took, late := time.Since(went), now["LateCalls"]-before["LateCalls"]
	t.Logf("%.0f threads: %.0f calls waited, %.0f were not made; calls were answered %v after it went on", threads, late, now["NotTriedCalls"]-before["NotTriedCalls"], took)
	if late < 1 || late > threads || now["UnreachedCalls"] > before["UnreachedCalls"] {
		t.Errorf("%.0f threads waited for a hung sidecar %.0f times, %v", threads, late, now)
	}
	if took > 5*time.Second {
		t.Errorf("it was used again %v after it went on", took)
	}
}

// killed kills the sidecar at random moments and starts it again, so many times.
func (r *javaRig) killed(readers *javaReaders, times int) {
	slowest := 0.0
	for range times {
		readers.more(20 + float64(r.rng.IntN(50)))
		r.side.Kill()
		now := readers.more(50)
		slowest = max(slowest, now["SlowestMicros"])
		need(r.t, r.side.Start(r.t.Context()))
		readers.until("the new process is used", func(now map[string]float64) bool { return now["BreakerOpen"] == 0 })
	}
	r.t.Logf("killed: the slowest read took %.0f ms", slowest/1e3)
}

// stopped has the sidecar hang at random moments, so many times.
func (r *javaRig) stopped(readers *javaReaders, times int) {
	slowest := 0.0
	for range times {
		readers.more(20 + float64(r.rng.IntN(50)))
		r.signal(syscall.SIGSTOP)
		now := readers.more(50)
		slowest = max(slowest, now["SlowestMicros"], now["SlowestOpenMicros"])
		now = readers.more(50)
		slowest = max(slowest, now["SlowestMicros"], now["SlowestOpenMicros"])
		r.signal(syscall.SIGCONT)
		readers.until("the sidecar is used again", func(now map[string]float64) bool { return now["BreakerOpen"] == 0 })
	}
	r.t.Logf("stopped: the slowest read or open took %.0f ms", slowest/1e3)
	if slowest > 2e6 {
		r.t.Errorf("a sidecar that hangs held a reader for %.0f ms", slowest/1e3)
	}
}

func (r *javaRig) damaged(readers *javaReaders) {
	before := readers.report()["DamagedPages"]
	readers.until("damaged pages are met", func(now map[string]float64) bool {
		r.damage()
		return now["DamagedPages"] > before+5
	})
}
