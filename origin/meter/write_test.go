package meter_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
)

// writer takes writes, but for the path "denied".
type writer struct{ mem.Writer }

func (w *writer) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	if path == "denied" {
		return origin.Object{}, origin.NewError(origin.ErrDenied, "put", path, nil)
	}
	return w.Writer.Put(ctx, path, body, size, opts)
}

func TestWrites(t *testing.T) {
	m, reg := newMeter(t, &writer{mem.Writer{Origin: mem.New("m")}})
	if obj, err := m.Put(t.Context(), "x", strings.NewReader("12345"), 5, origin.PutOptions{}); err != nil || obj.Size != 5 {
		t.Errorf("%+v %v", obj, err)
	}
	if _, err := m.Put(t.Context(), "denied", strings.NewReader("12345"), 5, origin.PutOptions{}); !errors.Is(err, origin.ErrDenied) {
		t.Error(err)
	}
	if _, err := m.Put(t.Context(), "x", strings.NewReader("other"), 5, origin.PutOptions{IfAbsent: true}); !errors.Is(err, origin.ErrVersionChanged) {
		t.Error(err)
	}
	if err := m.Delete(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	got := slices.DeleteFunc(nonzero(t, reg), func(s string) bool { return !strings.HasPrefix(s, "requests_total") })
	want := []string{"requests_total{mount=lake,op=delete,outcome=ok} 1", "requests_total{mount=lake,op=put,outcome=denied} 1", "requests_total{mount=lake,op=put,outcome=ok} 1",
		"requests_total{mount=lake,op=put,outcome=version_changed} 1"}
	if !slices.Equal(got, want) {
		t.Errorf("metrics %q, want %q", got, want)
	}
	m, reg = newMeter(t, mem.New("m"))
	_, err := m.Put(t.Context(), "x", strings.NewReader(""), 0, origin.PutOptions{})
	if err2 := m.Delete(t.Context(), "x"); !errors.Is(err, origin.ErrUnsupported) || !errors.Is(err2, origin.ErrUnsupported) || len(nonzero(t, reg)) != 0 {
		t.Errorf("an origin that cannot write: %v, %v, metrics %v", err, err2, nonzero(t, reg))
	}
}
