package access_test

import (
	"testing"

	"github.com/alio-lake/alio/internal/access"
)

func TestGrants(t *testing.T) {
	some := access.New([]string{"lake/sales", "lake/hr/", "sea"})
	everything := access.New(nil)
	var nothing access.Grants
	type asked struct{ mount, path string }
	for a, want := range map[asked]bool{
		{"lake", "sales/a"}: true, {"lake", "sales"}: true, {"lake", "hr/x/y"}: true, {"sea", "any"}: true, {"sea", "a/../b"}: true,
		{"lake", "sales2/a"}: false, {"lake", ""}: false, {"lake", "salesx"}: false, {"lake", "sales/../hr2/x"}: false, {"lake", "sales/./x"}: false,
		{"land", "a"}: false, {"", ""}: false,
	} {
		if got := some.Path(a.mount, a.path); got != want {
			t.Errorf("Path(%q, %q) = %v", a.mount, a.path, got)
		}
		if !everything.Path(a.mount, a.path) || nothing.Path(a.mount, a.path) {
			t.Errorf("%v: all opens everything, and the zero Grants nothing", a)
		}
	}
	for a, want := range map[asked]bool{
		{"lake", "sales/"}: true, {"lake", "sales/2"}: true, {"sea", ""}: true, {"lake", "sales"}: false, {"lake", ""}: false,
		{"lake", "sales/../"}: false, {"land", ""}: false,
	} {
		if got := some.Prefix(a.mount, a.path); got != want {
			t.Errorf("Prefix(%q, %q) = %v", a.mount, a.path, got)
		}
	}
	if !some.Mount("lake") || some.Whole("lake") || !some.Whole("sea") || some.Mount("land") || !everything.Mount("land") || nothing.Mount("lake") {
		t.Error("mounts")
	}
	if all := access.Everything(); !all.Whole("x") || !all.Prefix("x", "") {
		t.Error("Everything")
	}
	if got := some.Folders("lake"); got != "lake/sales/, lake/hr/" {
		t.Errorf("folders: %s", got)
	}
}
