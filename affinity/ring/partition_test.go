package ring

import "testing"

// TestFirstKey: each partition's least key lies in it, and the key before in the partition before.
func TestFirstKey(t *testing.T) {
	for _, n := range []int{64, 1024, 262144} {
		e, err := New(Settings{Partitions: n})
		if err != nil {
			t.Fatal(err)
		}
		for p := range e.Partitions() {
			k := e.FirstKey(p)
			if Partition(k, e.Partitions()) != p || p > 0 && Partition(k-1, e.Partitions()) != p-1 {
				t.Fatalf("of %d partitions, %d has the first key %x, which lies in %d", n, p, k, Partition(k, e.Partitions()))
			}
		}
	}
}
