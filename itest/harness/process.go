package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a server that was started in a process group of its own, with its output in a file. All methods may be called in
// parallel and after the process has ended.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // of the wait; read after done
}

// processSpec says what to start. Env is added to the environment; a relative Path is looked up there.
type processSpec struct {
	Name    string // for messages
	Path    string
	Args    []string
	Env     []string
	Dir     string
	LogFile string // gets standard output and error, appended

	// Stdin and Stdout are given to the process and closed here; nil: no input, and output into the LogFile.
	Stdin, Stdout *os.File
}

// startProcess starts a server. It dies with this process: the kernel kills it when the thread that started it ends
// (PR_SET_PDEATHSIG), and that thread is locked to the goroutine that waits for it.
func startProcess(spec processSpec) (*Process, error) {
	defer closeFiles(spec.Stdin, spec.Stdout)
	out, err := os.OpenFile(spec.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Dir = spec.Dir
	cmd.Stdout, cmd.Stderr = out, out // the files themselves: no goroutine copies, so Wait ends with the leader
	if spec.Stdin != nil {
		cmd.Stdin = spec.Stdin
	}
	if spec.Stdout != nil {
		cmd.Stdout = spec.Stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{name: spec.Name, cmd: cmd, log: spec.LogFile, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", spec.Name, err)
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// PID is the process's id, which is its group's too.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// LogFile is where its output lies.
func (p *Process) LogFile() string { return p.log }

// Kill sends SIGKILL to the process and all it started, and returns when it has ended.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process and all it started to end (SIGTERM), kills what has not after grace, and returns when it has ended.
func (p *Process) Stop(grace time.Duration) {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
	p.Kill()
}

// signal sends to the group; a group that is gone already is no error.
func (p *Process) signal(sig syscall.Signal) { _ = syscall.Kill(-p.PID(), sig) }

// Tail is the last lines of the process's output, at most n bytes of it.
func (p *Process) Tail(n int64) string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	off := max(0, st.Size()-n)
	b := make([]byte, st.Size()-off)
	m, _ := f.ReadAt(b, off)
	s := string(b[:m])
	if off > 0 { // a whole line first
		if _, rest, ok := strings.Cut(s, "\n"); ok {
			s = rest
		}
	}
	return s
}

// ready polls a condition until it holds, the process ends, or the context does; the last two are errors with the output's tail.
func (p *Process) ready(ctx context.Context, every time.Duration, ok func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		if last = ok(ctx); last == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready (%v); the end of its output:\n%s", p.name, p.err, p.Tail(4000))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; the end of its output:\n%s",
				p.name, errors.Join(context.Cause(ctx), last), p.Tail(4000))
		case <-tick.C:
		}
	}
}
