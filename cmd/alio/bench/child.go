package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command makes the command line of a subcommand of alio ("sidecar", …). Self is the usual one.
type Command func(args ...string) *exec.Cmd

// Self runs this very binary.
func Self() (Command, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	return func(args ...string) *exec.Cmd { return exec.Command(path, args...) }, nil
}

// tailLines is how many lines of a child's output are kept for errors.
const tailLines = 40

// child is a process that dies with this one, and with every process it has started: the kernel kills it when the thread that started it ends, and that
// thread is locked to the goroutine that waits for it.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its output is read

	mu   sync.Mutex
	tail []string
	seen map[string]json.RawMessage // fields of the awaited log line
	want string
	got  chan struct{} // closed when the line was seen
}

// startChild starts a process whose standard error is a log of JSON lines, and returns once it has logged the message, with that line's fields; or
// with an error when it ends before, or ctx does.
func startChild(ctx context.Context, cmd *exec.Cmd, message string) (*child, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, done: make(chan struct{}), got: make(chan struct{}), want: message}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		c.read(out)
		_ = cmd.Wait() // how it ended is in its output
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	select {
	case <-c.got:
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("%s ended at once; the end of its output:\n%s", strings.Join(cmd.Args[:2], " "), c.output())
	case <-ctx.Done():
		c.kill()
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%s was not ready", strings.Join(cmd.Args[:2], " ")))
	}
}

func (c *child) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		c.mu.Lock()
		c.tail = append(c.tail, lines.Text())
		c.tail = c.tail[max(0, len(c.tail)-tailLines):]
		var fields map[string]json.RawMessage
		if c.seen == nil && json.Unmarshal(lines.Bytes(), &fields) == nil && string(fields["message"]) == strconv.Quote(c.want) {
			c.seen = fields
			close(c.got)
		}
		c.mu.Unlock()
	}
}

// field is a text of the awaited line; "" if it has none of that name.
func (c *child) field(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var s string
	_ = json.Unmarshal(c.seen[name], &s)
	return s
}

func (c *child) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.tail, "\n")
}

// kill ends the process group now, and waits for it.
func (c *child) kill() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // gone already is fine
	<-c.done
}

// runChild runs a process to its end and returns its standard output. It ends with ctx.
func runChild(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	ended := make(chan error, 1)
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // see child
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args[:2], " "), err, strings.TrimSpace(errs.String()))
		}
		return out.Bytes(), nil
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		return nil, ctx.Err()
	}
}

// clockTick is what /proc counts processor time in: USER_HZ, 100 a second on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// ProcessCPU is the processor time that a process has taken, user and system, to 10 ms.
func ProcessCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; behind it come the state and the numbers from ppid on.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q is not understood", pid, b)
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}
