package metadata

import (
	"testing"

	"go.uber.org/goleak"
)

// A goroutine of Pebble's that met what it cannot go on from stays, by design.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/alio-lake/alio/sidecar/metadata.stopHere"))
}
