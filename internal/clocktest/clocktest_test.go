package clocktest

import (
	"testing"
	"time"
)

// TestJumped: the day's time has jumped, and what goes by has not.
func TestJumped(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{24 * time.Hour, -24 * time.Hour, time.Second, 0} {
		later := Jumped(now.Add(3*time.Second), by)
		if got := later.Sub(now); got != 3*time.Second {
			t.Errorf("jumped by %v: %v went by", by, got)
		}
		if got := later.Unix() - now.Unix(); got != int64(by.Seconds())+3 {
			t.Errorf("jumped by %v: the day's time is %d s on", by, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a time without a monotonic reading was taken")
		}
	}()
	Jumped(time.Unix(0, 0), time.Hour)
}
