package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// pythonWith is a virtual environment under CacheDir, by name, with what requirements asks for, which must name the hash of every file:
// made if it is not there whole. The python to run is bin/python in it.
func pythonWith(ctx context.Context, name, requirements string, logf Logf) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	venv := filepath.Join(cache, name)
	unlock, err := lockCache(ctx, name, logf)
	if err != nil {
		return "", err
	}
	defer unlock()
	done := filepath.Join(venv, "complete")
	if has, err := os.ReadFile(done); err == nil && string(has) == requirements {
		return venv, nil
	}
	logf("fetching %s from PyPI", name)
	if err := os.RemoveAll(venv); err != nil {
		return "", err
	}
	if err := runQuiet(ctx, "python3", "-m", "venv", venv); err != nil {
		return "", fmt.Errorf("a Python virtual environment for %s: %w", name, err)
	}
	req := filepath.Join(venv, "requirements.txt")
	if err := os.WriteFile(req, []byte(requirements), 0o644); err != nil {
		return "", err
	}
	if err := runQuiet(ctx, filepath.Join(venv, "bin", "pip"), "install", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", req); err != nil {
		return "", fmt.Errorf("%s from PyPI: %w", name, err)
	}
	return venv, os.WriteFile(done, []byte(requirements), 0o644)
}
