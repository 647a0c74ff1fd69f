package harness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// PrestoBridge builds the bridge for Presto with Maven and returns its jar, for plugin/hive-hadoop2, plugin/delta or plugin/hudi. Tests of the
// bridge itself are not run. What Maven fetches for it stays under CacheDir.
func PrestoBridge(ctx context.Context, logf Logf) (string, error) {
	return bridge(ctx, "presto", "alio-presto-*-plugin.jar", logf)
}

// bridge builds one module of presto-plugin-bridge with those it needs, and finds its plug-in.
func bridge(ctx context.Context, module, jar string, logf Logf) (string, error) {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("mvn is not on the PATH: install Maven 3.6 or newer; the bridges are built with it")
	}
	root, err := RepoRoot()
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "presto-plugin-bridge")
	unlock, err := lockCache(ctx, "bridge-"+shortHash(dir), logf) // two builds in one tree would overwrite each other's classes
	if err != nil {
		return "", err
	}
	defer unlock()
	logf("building presto-plugin-bridge/%s", module)
	cmd := exec.CommandContext(ctx, mvn, "-B", "-q", "-ntp", "-f", filepath.Join(dir, "pom.xml"), "-pl", module, "-am", "-DskipTests",
		"-Dmaven.repo.local="+filepath.Join(cache, "m2"), "package")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn package in %s: %w\n%s", dir, err, lastLines(string(out), 20))
	}
	found, err := filepath.Glob(filepath.Join(dir, module, "target", jar))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%d files %s in %s (%w)", len(found), jar, strings.Join([]string{module, "target"}, "/"), err)
	}
	return found[0], nil
}
