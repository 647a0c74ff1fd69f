package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// trinoBridgeParts are what the bridge for Trino is made of, below presto-plugin-bridge.
var trinoBridgeParts = []string{"pom.xml", "client/pom.xml", "client/src/main", "trino"}

// TrinoBridge builds the bridge for Trino with Maven, unless this checkout's is built already, and returns a folder with what an operator
// gets (install.sh and jars) and, made by that script, the plugin folders by the name of their connector.
func TrinoBridge(ctx context.Context, logf Logf) (kit string, plugins map[string]string, err error) {
	home, err := TrinoHome(ctx, logf)
	if err != nil {
		return "", nil, err
	}
	root, err := RepoRoot()
	if err != nil {
		return "", nil, err
	}
	sum, err := sourceSum(filepath.Join(root, "presto-plugin-bridge"), home, trinoBridgeParts)
	if err != nil {
		return "", nil, err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", nil, err
	}
	kit = filepath.Join(cache, "trino-bridge-"+shortHash(root)) // one for each checkout, built anew when its sources change
	plugins = map[string]string{}
	for name, folder := range map[string]string{"alio_hive": "alio-hive", "alio_delta_lake": "alio-delta-lake", "alio_hudi": "alio-hudi", "alio_iceberg": "alio-iceberg"} {
		plugins[name] = filepath.Join(kit, "plugin", folder)
	}
	unlock, err := lockCache(ctx, filepath.Base(kit), logf)
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	stamp := filepath.Join(kit, "sources")
	if b, err := os.ReadFile(stamp); err == nil && string(b) == sum {
		return kit, plugins, nil
	}
	if err := buildTrinoBridge(ctx, root, home, kit, logf); err != nil {
		return "", nil, fmt.Errorf("build the bridge for Trino: %w", err)
	}
	return kit, plugins, writeAtomic(stamp, []byte(sum))
}

// TrinoBridgeProperties are Maven's arguments for the module of the bridge: the unpacked server that it is compiled against, fetched if it is not there, and
// the JDK that can read its classes.
func TrinoBridgeProperties(ctx context.Context, logf Logf) ([]string, error) {
	home, err := TrinoHome(ctx, logf)
	if err != nil {
		return nil, err
	}
	jdk, err := newestJDK()
	return []string{"-Dtrino.home=" + home, "-Dtrino.jdk=" + jdk}, err
}

func buildTrinoBridge(ctx context.Context, root, home, kit string, logf Logf) error {
	properties, err := TrinoBridgeProperties(ctx, logf)
	if err != nil {
		return err
	}
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	reactor := filepath.Join(root, "presto-plugin-bridge")
	logf("building the bridge for Trino with Maven")
	if err := runQuiet(ctx, "mvn", append(properties, "-q", "-B", "-ntp", "-f", filepath.Join(reactor, "pom.xml"), "-pl", "trino", "-am", "package", "-Dmaven.test.skip=true",
		"-Dmaven.repo.local="+filepath.Join(cache, "maven"))...); err != nil {
		return err
	}
	if err := os.RemoveAll(kit); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(kit, "services"), 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{
		"trino/install.sh": "install.sh",
		"client/target/alio-client-0.1.0-SNAPSHOT.jar":                   "alio-client.jar",
		"trino/target/alio-trino-0.1.0-SNAPSHOT.jar":                     "alio-trino.jar",
		"trino/target/alio-trino-0.1.0-SNAPSHOT-hive-services.jar":       "services/alio-trino-hive-services.jar",
		"trino/target/alio-trino-0.1.0-SNAPSHOT-delta-lake-services.jar": "services/alio-trino-delta-lake-services.jar",
		"trino/target/alio-trino-0.1.0-SNAPSHOT-hudi-services.jar":       "services/alio-trino-hudi-services.jar",
		"trino/target/alio-trino-0.1.0-SNAPSHOT-iceberg-services.jar":    "services/alio-trino-iceberg-services.jar",
	} {
		if err := copyFile(filepath.Join(reactor, from), filepath.Join(kit, to)); err != nil {
			return err
		}
	}
	return runQuiet(ctx, filepath.Join(kit, "install.sh"), "--to", filepath.Join(kit, "plugin"), home)
}

// newestJDK is the home of a Java that can run Trino, with a compiler.
func newestJDK() (string, error) {
	home := os.Getenv("JAVA25_HOME")
	if home == "" {
		home = newestJavaOf("/usr/lib/jvm", minJava, math.MaxInt)
	}
	if home != "" {
		if _, err := os.Stat(filepath.Join(home, "bin", "javac")); err == nil && javaVersion(home) >= minJava {
			return home, nil
		}
	}
	return "", fmt.Errorf("no JDK of %d or newer with a compiler, which Trino's class files need: set JAVA25_HOME to one", minJava)
}

// sourceSum names the state of some files and folders below dir, and the server that they are compiled against.
func sourceSum(dir, server string, parts []string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, server)
	for _, part := range parts {
		err := filepath.WalkDir(filepath.Join(dir, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if d.Name() == "target" || strings.HasSuffix(path, "src/test") {
					return fs.SkipDir
				}
				return nil
			}
			b, err := os.ReadFile(path)
			fmt.Fprintln(h, path, len(b))
			h.Write(b)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// copyFile copies a file with its mode.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
