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
type writer struct{ *mem.Origin }

func (w *writer) Put(_ context.Context, path string, body io.Reader, _ int64) (origin.Object, error) {
	if path == "denied" {
		return origin.Object{}, origin.NewError(origin.ErrDenied, "put", path, nil)
	}
	data, err := io.ReadAll(body)
	return w.Origin.Put(path, data), err
}

func (w *writer) Delete(_ context.Context, path string) error {
	w.Origin.Delete(path)
	return nil
}

func TestWrites(t *testing.T) {
	m, reg := newMeter(t, &writer{mem.New("m")})
	if obj, err := m.Put(t.Context(), "x", strings.NewReader("12345"), 5); err != nil || obj.Size != 5 {
		t.Errorf("%+v %v", obj, err)
	}
	if _, err := m.Put(t.Context(), "denied", strings.NewReader("12345"), 5); !errors.Is(err, origin.ErrDenied) {
		t.Error(err)
	}
	if err := m.Delete(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	got := slices.DeleteFunc(nonzero(t, reg), func(s string) bool { return !strings.HasPrefix(s, "requests_total") })
	want := []string{"requests_total{mount=lake,op=delete,outcome=ok} 1", "requests_total{mount=lake,op=put,outcome=denied} 1", "requests_total{mount=lake,op=put,outcome=ok} 1"}
	if !slices.Equal(got, want) {
		t.Errorf("metrics %q, want %q", got, want)
	}
	m, reg = newMeter(t, mem.New("m"))
	_, err := m.Put(t.Context(), "x", strings.NewReader(""), 0)
	if err2 := m.Delete(t.Context(), "x"); !errors.Is(err, origin.ErrUnsupported) || !errors.Is(err2, origin.ErrUnsupported) || len(nonzero(t, reg)) != 0 {
		t.Errorf("an origin that cannot write: %v, %v, metrics %v", err, err2, nonzero(t, reg))
	}
}
