package harness

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// PrestoVersion is the release that the harness starts.
const PrestoVersion = "0.287"

// prestoPlugin is how a plugin's folder is put together. The archives of Delta and Hudi hold what Hive's holds but for a few jars
// (compared by their sums), so those few are fetched instead of 270 MB each.
type prestoPlugin struct {
	archive string      // the zip of com.facebook.presto that it begins with
	without []string    // file names of that archive that are left out
	with    [][2]string // group and name of the jars that are added
}

var prestoPlugins = map[string]prestoPlugin{
	"hive-hadoop2": {archive: "presto-hive-hadoop2"},
	"tpcds":        {archive: "presto-tpcds"},
	"delta": {archive: "presto-hive-hadoop2",
		without: []string{"presto-hive-hadoop2-0.287.jar", "hudi-presto-bundle-0.14.0.jar", "node-0.209.jar", "minlog-1.3.0.jar", "discovery-0.209.jar",
			"event-0.209.jar", "kryo-shaded-4.0.2.jar"},
		with: [][2]string{{"com.facebook.presto", "presto-delta"}, {"io.delta", "delta-standalone_2.12"}, {"io.delta", "delta-storage"},
			{"org.scala-lang", "scala-library"}, {"org.scala-lang.modules", "scala-collection-compat_2.12"}, {"com.chuusai", "shapeless_2.12"},
			{"commons-io", "commons-io"}}},
	"hudi": {archive: "presto-hive-hadoop2", without: []string{"presto-hive-hadoop2-0.287.jar"},
		with: [][2]string{{"com.facebook.presto", "presto-hudi"}}},
}

// PrestoLib are the jars of the server's class path, fetched if need be.
func PrestoLib(ctx context.Context, logf Logf) ([]string, error) {
	all, err := parseLock("presto.lock", prestoLock)
	if err != nil {
		return nil, err
	}
	return FetchAll(ctx, all, logf)
}

// PrestoPluginJars are the jars of a plugin by their file names, fetched and unpacked if need be. ASM is the newer one of the
// server's class path, as there: as released, neither starts on Java 17.
func PrestoPluginJars(ctx context.Context, plugin string, logf Logf) (map[string]string, error) {
	p, ok := prestoPlugins[plugin]
	if !ok {
		return nil, fmt.Errorf("no Presto plugin %q is kept", plugin)
	}
	a, err := LookupArtifact("com.facebook.presto", p.archive)
	if err != nil {
		return nil, err
	}
	home, err := unpacked(ctx, a, "", logf, func(archive, tmp string) (string, error) { return tmp, unzip(ctx, archive, tmp) })
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(home)
	if err != nil {
		return nil, err
	}
	jars := map[string]string{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".jar") {
			jars[e.Name()] = filepath.Join(home, e.Name())
		}
	}
	for _, name := range p.without {
		if jars[name] == "" {
			return nil, fmt.Errorf("%s holds no %s, which the plugin %s does without", home, name, plugin)
		}
		delete(jars, name)
	}
	var more []Artifact
	for _, jar := range p.with {
		a, err := LookupArtifact(jar[0], jar[1])
		if err != nil {
			return nil, err
		}
		more = append(more, a)
	}
	lib, err := parseLock("presto.lock", prestoLock)
	if err != nil {
		return nil, err
	}
	for _, a := range lib {
		if old := a.Name + "-9.0.jar"; a.Group == "org.ow2.asm" && jars[old] != "" {
			delete(jars, old)
			more = append(more, a)
		}
	}
	paths, err := FetchAll(ctx, more, logf)
	for _, path := range paths {
		jars[filepath.Base(path)] = path
	}
	return jars, err
}

// unzip unpacks a zip archive whose entries are files of one folder into another one.
func unzip(ctx context.Context, archive, dir string) error {
	in, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer in.Close()
	for _, f := range in.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if !filepath.IsLocal(f.Name) || strings.Count(f.Name, "/") != 1 {
			return fmt.Errorf("entry %q is not a file of the archive's one folder", f.Name)
		}
		if err := unzipFile(f, filepath.Join(dir, filepath.Base(f.Name))); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

func unzipFile(f *zip.File, path string) error {
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // the archive's own sum of the file is checked at its end
	return errors.Join(err, out.Close())
}

// linkDir makes a folder of symbolic links to files, by name.
func linkDir(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, target := range files {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// PrestoBridge builds the bridge for Presto and returns its jar, for plugin/hive-hadoop2, plugin/delta or plugin/hudi.
func PrestoBridge(ctx context.Context, logf Logf) (string, error) {
	folder, err := Bridge(ctx, "presto", logf)
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(folder, "target", "alio-presto-*-plugin.jar"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d files alio-presto-*-plugin.jar in %s: run make clean", len(found), filepath.Join(folder, "target"))
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
