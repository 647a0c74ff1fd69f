package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

var bridgeBuild struct {
	sync.Mutex
	done map[string]bool // by module
}

// Bridge builds a module of presto-plugin-bridge, and those that it needs, without running its tests, once for each process that asks. It returns the
// module's folder; jars lie in target below it, classes in target/classes and target/test-classes.
func Bridge(ctx context.Context, module string, logf Logf) (string, error) {
	bridgeBuild.Lock()
	defer bridgeBuild.Unlock()
	root, err := RepoRoot()
	if err != nil {
		return "", err
	}
	reactor := filepath.Join(root, "presto-plugin-bridge")
	folder := filepath.Join(reactor, module)
	if bridgeBuild.done[module] {
		return folder, nil
	}
	if err := buildBridge(ctx, reactor, module, logf); err != nil {
		return "", err
	}
	if bridgeBuild.done == nil {
		bridgeBuild.done = map[string]bool{}
	}
	bridgeBuild.done[module] = true
	return folder, nil
}

func buildBridge(ctx context.Context, reactor, module string, logf Logf) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("mvn is not on the PATH: install Maven 3.6 or newer; it builds presto-plugin-bridge")
	}
	jdk, err := JDK()
	if err != nil {
		return err
	}
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	unlock, err := lockCache(ctx, "bridge", logf) // two builds of one folder would tread on each other
	if err != nil {
		return err
	}
	defer unlock()
	logf("building presto-plugin-bridge/%s with mvn", module)
	cmd := exec.CommandContext(ctx, mvn, "-B", "-ntp", "-q", "-DskipTests", "-Dmaven.repo.local="+filepath.Join(cache, "maven"), "-pl", module, "-am", "package")
	cmd.Dir = reactor
	cmd.Env = append(os.Environ(), "JAVA_HOME="+jdk)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn package in presto-plugin-bridge/%s: %w\n%s", module, err, lastLines(string(out), 30))
	}
	return nil
}
