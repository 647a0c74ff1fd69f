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
	done bool
}

// Bridge builds the modules of presto-plugin-bridge for JDK 17 (client, hadoop, presto), without running their tests, once for each process that asks: to start Maven
// takes longer than to build one module more. It returns a module's folder; jars lie in target below it, classes in target/classes and target/test-classes.
func Bridge(ctx context.Context, module string, logf Logf) (string, error) {
	bridgeBuild.Lock()
	defer bridgeBuild.Unlock()
	root, err := RepoRoot()
	if err != nil {
		return "", err
	}
	reactor := filepath.Join(root, "presto-plugin-bridge")
	folder := filepath.Join(reactor, module)
	if !bridgeBuild.done {
		if err := buildBridge(ctx, reactor, logf); err != nil {
			return "", err
		}
		bridgeBuild.done = true
	}
	return folder, nil
}

func buildBridge(ctx context.Context, reactor string, logf Logf) error {
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
	logf("building presto-plugin-bridge with mvn")
	cmd := exec.CommandContext(ctx, mvn, "-B", "-ntp", "-q", "-DskipTests", "-Dmaven.repo.local="+filepath.Join(cache, "maven"), "-pl", "presto", "-am", "package")
	cmd.Dir = reactor
	cmd.Env = append(os.Environ(), "JAVA_HOME="+jdk)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn package in presto-plugin-bridge: %w\n%s", err, lastLines(string(out), 30))
	}
	return nil
}
