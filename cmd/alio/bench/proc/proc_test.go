package proc

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(script string) *exec.Cmd { return exec.Command("/bin/sh", "-c", script) }

func isReady(line string) bool { return strings.HasPrefix(line, "ready") }

func TestAProcessTellsWhyItEnded(t *testing.T) {
	_, err := Start(t.Context(), shell("echo 'no such mount' >&2; exit 1"), isReady)
	if err == nil || !strings.Contains(err.Error(), "no such mount") {
		t.Errorf("got %v", err)
	}
	if _, err := Start(t.Context(), exec.Command("/none/at/all"), isReady); err == nil || !strings.Contains(err.Error(), "/none/at/all") {
		t.Errorf("got %v", err)
	}
}

// A process that starts another one, and neither of which ends by itself, is gone when the context has ended.
func TestProcessesEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "pid")
	go func() {
		defer cancel()
		for {
			if b, err := os.ReadFile(file); err == nil && bytes.HasSuffix(b, []byte("\n")) {
				return
			}
		}
	}()
	_, err := Start(ctx, shell("sleep 1000 & echo $! > "+file+"; wait"), isReady)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gone(t, strings.TrimSpace(string(pid)))
}

// gone polls until a process has ended; a zombie has.
func gone(t *testing.T, pid string) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for {
		b, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || slices.Contains(strings.Fields(string(b)), "Z") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %s is still there", pid)
		}
	}
}

func TestAReadyProcess(t *testing.T) {
	p, err := Start(t.Context(), shell("echo one >&2; echo ready on 7 >&2; sleep 1000"), isReady)
	if err != nil {
		t.Fatal(err)
	}
	if p.Ready() != "ready on 7" || !strings.Contains(p.Output(), "one") {
		t.Errorf("ready %q, output %q", p.Ready(), p.Output())
	}
	if _, err := CPU(p.PID()); err != nil {
		t.Error(err)
	}
	select {
	case <-p.Done():
		t.Error("it has ended")
	default:
	}
	p.Kill()
	p.Kill() // gone already is fine
	<-p.Done()
	for end := time.Now().Add(30 * time.Second); ; { // what it had started was killed with it, and ends in its own time
		if _, err := GroupCPU(p.PID()); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a group that is gone has processor time")
		}
	}
	q, err := Start(t.Context(), shell("sleep 1000"), nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Kill()
}

// Two processes of one group burn processor time; each of them is seen.
func TestCPUOfAGroup(t *testing.T) {
	p, err := Start(t.Context(), shell("(while :; do :; done) & echo ready $! >&2; while :; do :; done"), isReady)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	child, err := strconv.Atoi(strings.TrimPrefix(p.Ready(), "ready "))
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(30 * time.Second)
	for {
		all, err1 := GroupCPU(p.PID())
		one, err2 := CPU(p.PID())
		two, err3 := CPU(child)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if one > 0 && two > 0 {
			if all, err1 = GroupCPU(p.PID()); err1 != nil || all < one+two {
				t.Errorf("a group took %v, its processes %v and %v", all, one, two)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("group %v, processes %v and %v", all, one, two)
		}
	}
}

func TestRun(t *testing.T) {
	if out, err := Run(t.Context(), shell("echo fine")); err != nil || string(out) != "fine\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := Run(t.Context(), shell("echo broken >&2; exit 3")); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v", err)
	}
	if _, err := Run(t.Context(), exec.Command("/none/at/all")); err == nil {
		t.Error("no such program")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, shell("sleep 1000")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
