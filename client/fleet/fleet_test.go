package fleet

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/alio-lake/alio/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOptions: every fault is reported at once, and named.
func TestOptions(t *testing.T) {
	err := Options{Members: []string{"here"}, Port: 70_000, Owners: -1, Idle: -1, Tag: strings.Repeat("x", 129)}.Validate()
	for _, want := range []string{`member "here" is not host:port`, "port 70000", "owners -1", "idle -1ns", "tag of 129 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "no members") {
		t.Errorf("without members: %v", err)
	}
	if err := (Options{Members: []string{"a:1"}}).Validate(); err != nil {
		t.Error(err)
	}
}

// fixed is a Fallback of one file.
type fixed string

func (f fixed) ReadAt(_ context.Context, _ client.Object, p []byte, off int64) (int, error) {
	return copy(p, f[off:]), nil
}

// TestNobodyTells: where no member tells the ring the error says who was asked, and the Fallback reads a file of which the size is known.
func TestNobodyTells(t *testing.T) {
	o := Options{Members: []string{"127.0.0.1:1"}, FirstEpoch: 20 * time.Millisecond}
	for _, back := range []client.OriginReader{nil, fixed("all of it")} {
		o.Fallback = back
		f, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { f.Run(ctx) })
		file, err := f.Open(ctx, "lake", "a", client.OpenOptions{Size: 9})
		if back == nil {
			if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "127.0.0.1:1 told no ring") {
				t.Errorf("no ring and no fallback: %v", err)
			}
		} else if err != nil {
			t.Error(err)
		} else {
			p := make([]byte, 9)
			if n, err := file.ReadAt(p, 0); n != 9 || err != nil || string(p) != "all of it" {
				t.Errorf("by the fallback: %d, %v, %q", n, err, p)
			}
		}
		if _, err := f.Open(ctx, "lake", "a", client.OpenOptions{Fill: &client.Fill{}}); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("a file that is filled: %v", err)
		}
		cancel()
		wg.Wait()
		if err := errors.Join(f.Close(), f.Close()); err != nil {
			t.Error(err)
		}
	}
}
