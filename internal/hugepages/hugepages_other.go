//go:build !linux

package hugepages

func supported() bool { return false }

func ask(uintptr) {}
