package ring

// Partition is the place of a key in a table of n partitions.
func Partition(key uint64, n int) int { return scale(key, n) }

// FirstKey is the least key of a partition of this epoch's table, for whoever asks about partitions instead of sections.
func (e *Epoch) FirstKey(partition int) uint64 {
	n := uint64(e.partitions)
	return (uint64(partition)<<32 + n - 1) / n << 32
}
