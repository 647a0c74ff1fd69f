package nowait

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func iovOf(pieces ...[]byte) (iov []unix.Iovec) {
	for _, p := range pieces {
		v := unix.Iovec{Base: &p[0]}
		v.SetLen(len(p))
		iov = append(iov, v)
	}
	return iov
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7 >> 3)
	}
	return p
}

// Short and long calls, with the scheduler's knowledge and without, move the same bytes.
func TestPreadvReadsWhatIsThere(t *testing.T) {
	want := pattern(3 * short)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{1, 4096, short - 10, short + 10, 2 * short} {
		a, b := make([]byte, 10), make([]byte, n)
		got, err := Preadv(int(f.Fd()), iovOf(a, b), 77)
		if err == unix.EOPNOTSUPP {
			t.Log("no reads of the page cache alone here")
			return
		}
		if err != nil || got != 10+n || !bytes.Equal(a, want[77:87]) || !bytes.Equal(b, want[87:87+n]) {
			t.Errorf("%d bytes: %d, %v", n, got, err)
		}
	}
	if n, err := Preadv(int(f.Fd()), iovOf(make([]byte, 8)), int64(len(want))); n != 0 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if _, err := Preadv(-1, iovOf(make([]byte, 8)), 0); err != unix.EBADF {
		t.Errorf("no descriptor: %v", err)
	}
}

func TestPipeNeverWaits(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	got := make([]byte, 2*short)
	if _, err := Read(fds[0], got[:10]); err != unix.EAGAIN {
		t.Errorf("empty: %v", err)
	}
	want := pattern(1000)
	if n, err := Writev(fds[1], iovOf(want[:1], want[1:])); n != 1000 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := Read(fds[0], got); n != 1000 || err != nil || !bytes.Equal(got[:n], want) {
		t.Errorf("%d, %v", n, err)
	}
	for {
		if _, err := Writev(fds[1], iovOf(got)); err != nil {
			if err != unix.EAGAIN {
				t.Errorf("full: %v", err)
			}
			return
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	iov, p := iovOf(make([]byte, 8)), make([]byte, 8)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = Preadv(-1, iov, 0)
		_, _ = Writev(-1, iov)
		_, _ = Read(-1, p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestWritevIsSeenByTheRaceDetector: what was done before a Writev comes before what its reader does. Only -race can make this fail.
func TestWritevIsSeenByTheRaceDetector(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	shared, fd := 0, int(w.Fd())
	go func() {
		shared = 1
		if n, err := Writev(fd, iovOf([]byte{1})); n != 1 || err != nil {
			t.Error(n, err)
		}
	}()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if shared != 1 {
		t.Error("not seen")
	}
}
