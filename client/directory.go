package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The names in a cache directory (cache/disk/FORMAT.md).
const (
	identityFile = "alio-disk.json"
	segmentsDir  = "segments"
	maxIdentity  = 4096
)

// directory is one of Options.Directories. Its segments are read only while the identity in it is the one that the sidecar tells.
type directory struct {
	device
	path string
	id   atomic.Pointer[string] // as last read; nil: not yet, or not readable
	told atomic.Bool            // that it cannot be identified
}

func newDirectory(path string, readers int) *directory {
	return &directory{path: path, device: device{slots: make(chan struct{}, readers)}}
}

// identify reads the directory's identity.
func (d *directory) identify(ctx context.Context, deadline time.Duration) error {
	var id string
	gaveUp, err := d.do(ctx, deadline, func() (err error) {
		id, err = readIdentity(filepath.Join(d.path, identityFile))
		return err
	}, func() {})
	if gaveUp || err != nil {
		d.id.Store(nil)
		return err
	}
	d.id.Store(&id)
	return nil
}

func readIdentity(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text := make([]byte, maxIdentity+1)
	n, err := f.ReadAt(text, 0)
	if n > maxIdentity {
		return "", fmt.Errorf("%s has more than %d bytes", path, maxIdentity)
	}
	var identity struct {
		ID string `json:"id"`
	}
	if jsonErr := json.Unmarshal(text[:n], &identity); jsonErr != nil {
		return "", fmt.Errorf("%s: %w (read: %v)", path, jsonErr, err)
	}
	if raw, err := hex.DecodeString(identity.ID); err != nil || len(raw) != 16 {
		return "", fmt.Errorf("%s: id %q is not 32 hex digits", path, identity.ID)
	}
	return identity.ID, nil
}
