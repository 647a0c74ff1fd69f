package membership

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/alio-lake/alio/affinity/ring"
)

// readFile reads the epoch that writeFile kept; nil if there is no file.
func readFile(name string) (*ring.Epoch, error) {
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("membership: the last epoch cannot be read: %w", err)
	}
	e, err := ring.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("membership: %s: %w", name, err)
	}
	return e, nil
}

// writeFile replaces the file as a whole: after a crash it holds this epoch or the one before.
func writeFile(name string, e *ring.Epoch) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("membership: %w", err)
		}
	}()
	_, err = f.Write(e.Encode())
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(name))
	}
	return err
}

func syncDirectory(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
