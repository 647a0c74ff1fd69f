package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline bounds every wait of these tests; it is only reached when something is broken.
const deadline = 30 * time.Second

// process is a sidecar in a process of its own.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	S3    string `json:"s3"`
	Admin string `json:"admin"`

	mu    sync.Mutex
	log   []string
	ended chan struct{} // its output has ended
}

// sidecarCommand is a command that runs this test binary as the program.
func sidecarCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{"sidecar", "--log-format", "json"}, args...)...)
	cmd.Env = append(os.Environ(), "ALIO_TEST_RUN=1")
	return cmd
}

// start starts a sidecar over the origin and returns once it has logged that it is ready.
func start(t *testing.T, o *s3Origin, args ...string) *process {
	t.Helper()
	p := launch(t, sidecarCommand(append([]string{"--mount", "lake=s3://bucket", "--s3-endpoint", o.url, "--s3-path-style", "--s3-anonymous",
		"--s3-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, args...)...))
	line := p.waitLog(`"message":"ready"`)
	if err := json.Unmarshal([]byte(line), p); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return p
}

func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.log = append(p.log, lines.Text())
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.ended
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s\n%s", cmd, p.output())
		}
	})
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// waitLog returns the first log line that holds a text.
func (p *process) waitLog(text string) string {
	p.t.Helper()
	var found string
	eventually(p.t, "the log line "+text, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, line := range p.log {
			if strings.Contains(line, text) {
				found = line
			}
		}
		return found != ""
	})
	return found
}

// eventually polls a condition to the deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s did not come within %v", what, deadline)
		}
	}
}

// exit waits for the process to end and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(deadline):
		p.t.Fatalf("the process did not end within %v", deadline)
	}
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// answer is a response, read to its end.
type answer struct {
	code   int
	body   string
	header http.Header
}

func (p *process) get(url string, header ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	return request(ctx, http.MethodGet, url, header...)
}

func request(ctx context.Context, method, url string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(body), resp.Header}, err
}

// must is get, for answers that have to come.
func (p *process) must(url string, header ...string) answer {
	p.t.Helper()
	a, err := p.get(url, header...)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// status is a figure of /status, by its path.
func (p *process) figure(path ...string) any {
	p.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(p.must(p.Admin+"/status").body), &v); err != nil {
		p.t.Fatal(err)
	}
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok || m[name] == nil {
			p.t.Fatalf("status has no %v", path)
		}
		v = m[name]
	}
	return v
}

// stored waits until the disk tier holds n pages.
func (p *process) stored(n int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%d pages on disk", n), func() bool { return p.figure("disk", "pages").(float64) >= float64(n) })
}
