package disk

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// deviceEnv tells a child process which test it is for; "none" does without devices.
const deviceEnv = "ALIO_DISK_TEST_DEVICE"

// onDevice runs a test on a small file system of its own, a tmpfs in a mount name space of a child process; where this process may not have one,
// in a directory of the common file system (own is false: then other processes fill and free it too).
func onDevice(t *testing.T, size string, test func(t *testing.T, dir string, own bool)) {
	if os.Getenv(deviceEnv) == t.Name() {
		dir := t.TempDir()
		need(t, mountTmpfs(dir, size))
		t.Cleanup(func() { need(t, unix.Unmount(dir, unix.MNT_DETACH)) })
		test(t, dir, true)
		return
	}
	if os.Getenv(deviceEnv) == "none" { // as where mounting is not allowed
		test(t, t.TempDir(), false)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), deviceEnv+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	switch text := string(out); {
	case err == nil && strings.Contains(text, "--- PASS: "+t.Name()):
		t.Log(text)
	case errors.As(err, &ended) && !strings.Contains(text, errNoMount):
		t.Fatalf("on a device of its own: %v\n%s", err, text)
	default:
		t.Logf("no device of its own can be had here (%v)", err)
		test(t, t.TempDir(), false)
	}
}

const errNoMount = "a tmpfs cannot be mounted here"

func mountTmpfs(dir, size string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	}
	if err != nil {
		return errors.Join(errors.New(errNoMount), err)
	}
	return nil
}
