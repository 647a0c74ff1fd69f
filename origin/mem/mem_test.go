package mem_test

import (
	"errors"
	"io"
	"testing"

	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/mem"
	"github.com/alio-lake/alio/origin/origintest"
)

func TestConformance(t *testing.T) {
	origintest.Run(t, func(*testing.T) origintest.Fixture { return origintest.Memory(mem.New("conformance")) })
}

func TestWriterConformance(t *testing.T) {
	origintest.Run(t, func(*testing.T) origintest.Fixture {
		m := mem.New("conformance")
		return origintest.Memory(m, func(origin.Origin) origin.Origin { return mem.Writer{Origin: m} })
	})
}

func TestConformanceWithoutVersions(t *testing.T) {
	origintest.Run(t, func(*testing.T) origintest.Fixture {
		m := mem.New("conformance")
		m.HideVersions(true)
		return origintest.Memory(m)
	})
}

func TestPutChangesTheVersion(t *testing.T) {
	m, twin := mem.New("x"), mem.New("x")
	one := m.Put("p", []byte("same"))
	two := m.PutWith("p", []byte("same"), map[string]string{"Content-Type": "text/plain"})
	other := twin.Put("p", []byte("other"))
	ids := map[string]bool{one.Parts[0].ID: true, two.Parts[0].ID: true, other.Parts[0].ID: true}
	if len(ids) != 3 || one.Version == two.Version || two.Version == other.Version {
		t.Errorf("versions %q, %q and a twin's %q must differ", one.Version, two.Version, other.Version)
	}
	got, err := m.Stat(t.Context(), "p")
	if err != nil || got.Attributes["Content-Type"] != "text/plain" || got.Version != two.Version {
		t.Errorf("stat: %+v, %v", got, err)
	}
	got.Attributes["Content-Type"], got.Parts[0].ID = "changed", "changed"
	if again, _ := m.Stat(t.Context(), "p"); again.Attributes["Content-Type"] != "text/plain" || again.Parts[0].ID == "changed" {
		t.Error("a caller's change shows in the origin")
	}
	if !m.Delete("p") || m.Delete("p") {
		t.Error("Delete reports whether the object was there")
	}
	if _, err := m.Stat(t.Context(), "p"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("stat after delete: %v", err)
	}
}

func TestPutCopies(t *testing.T) {
	m := mem.New("x")
	data, attributes := []byte("one"), map[string]string{"A": "1"}
	m.PutWith("p", data, attributes)
	data[0], attributes["A"] = '!', "2"
	c, err := m.Read(t.Context(), origin.ReadRequest{Path: "p", Length: origin.WholeRange})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c.Body); err != nil || string(b) != "one" || c.Object.Attributes["A"] != "1" {
		t.Errorf("%q %v, %v: what the caller changed after Put shows", b, c.Object.Attributes, err)
	}
}

func TestReadPinnedByETagAlone(t *testing.T) {
	m := mem.New("x")
	old := m.Put("p", []byte("one"))
	m.Put("p", []byte("two"))
	_, err := m.Read(t.Context(), origin.ReadRequest{Path: "p", Length: 1, ETag: old.ETag})
	if !errors.Is(err, origin.ErrVersionChanged) {
		t.Errorf("%v, want ErrVersionChanged", err)
	}
}
