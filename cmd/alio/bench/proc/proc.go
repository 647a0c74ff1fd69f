// Package proc starts the processes that a benchmark measures and makes sure that none outlives it: each is in a process group of its own, and the kernel
// kills it when this process ends, however it ends. It is for benchmarks; the product starts no processes. Start at Start.
package proc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tailLines is how many lines of a process's output are kept for errors.
const tailLines = 40

// Process is a process that was started. All methods may be called in parallel, and after it has ended.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its output is read

	mu   sync.Mutex
	tail []string
	line string        // the one that said that it is ready
	got  chan struct{} // closed when that came
}

// Start starts a process and returns once a line of its standard error is one that ready accepts (nil: at once). It is an error if the process ends
// before, or ctx does, which ends it.
func Start(ctx context.Context, cmd *exec.Cmd, ready func(line string) bool) (*Process, error) {
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{}), got: make(chan struct{})}
	if ready == nil {
		close(p.got)
		ready = func(string) bool { return false }
	}
	err = launch(cmd, func() {
		p.read(out, ready)
		_ = cmd.Wait() // how it ended is in its output
		close(p.done)
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-p.got:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("%s ended at once; the end of its output:\n%s", name(cmd), p.Output())
	case <-ctx.Done():
		p.Kill()
		return nil, fmt.Errorf("%s was not ready: %w", name(cmd), ctx.Err())
	}
}

// Run runs a process to its end and returns its standard output. It ends with ctx.
func Run(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	ended := make(chan error, 1)
	if err := launch(cmd, func() { ended <- cmd.Wait() }); err != nil {
		return nil, err
	}
	select {
	case err := <-ended:
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name(cmd), err, lastLines(errs.String()))
		}
		return out.Bytes(), nil
	case <-ctx.Done():
		killGroup(cmd.Process.Pid)
		<-ended
		return nil, ctx.Err()
	}
}

// launch starts a process and runs wait, on a goroutine whose thread is locked: the kernel kills the process when that thread ends
// (PR_SET_PDEATHSIG).
func launch(cmd *exec.Cmd, wait func()) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return nil
}

func name(cmd *exec.Cmd) string {
	return strings.Join(append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:min(2, len(cmd.Args))]...), " ")
}

func (p *Process) read(out io.Reader, ready func(string) bool) {
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.tail = append(p.tail, lines.Text())
		p.tail = p.tail[max(0, len(p.tail)-tailLines):]
		if p.line == "" && ready(lines.Text()) {
			p.line = lines.Text()
			close(p.got)
		}
		p.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, out) // after a line that is too long: the process must not wait for us
}

// Ready is the line that said that the process is ready.
func (p *Process) Ready() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.line
}

// Output is the end of its standard error.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// PID is the process's id, which is its group's too.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the process and all that it started, and waits for it.
func (p *Process) Kill() {
	killGroup(p.PID())
	<-p.done
}

// killGroup kills a group; one that is gone already is fine.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// clockTick is what /proc counts processor time in: USER_HZ, 100 a second on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// CPU is the processor time that a process has taken, user and system, to 10 ms.
func CPU(pid int) (time.Duration, error) {
	s, err := stat(strconv.Itoa(pid))
	return s.cpu, err
}

// GroupCPU is that of all processes of a group that live.
func GroupCPU(group int) (sum time.Duration, err error) {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	found := false
	for _, n := range names {
		s, err := stat(filepath.Base(n))
		if err == nil && s.group == group && !s.ended {
			sum += s.cpu
			found = true
		}
	}
	if !found {
		return 0, fmt.Errorf("no process of group %d is left", group)
	}
	return sum, nil
}

type procStat struct {
	group int
	ended bool // a zombie: nobody has asked yet how it ended
	cpu   time.Duration
}

// stat reads /proc/<pid>/stat (proc(5)).
func stat(pid string) (s procStat, err error) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return s, err
	}
	// The name, in parentheses, may hold anything; behind it come the state and the numbers from ppid on.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return s, fmt.Errorf("/proc/%s/stat: %q is not understood", pid, b)
	}
	group, err1 := strconv.Atoi(f[2])
	user, err2 := strconv.ParseInt(f[11], 10, 64)
	system, err3 := strconv.ParseInt(f[12], 10, 64)
	return procStat{group, f[0] == "Z", time.Duration(user+system) * clockTick}, errors.Join(err1, err2, err3)
}
