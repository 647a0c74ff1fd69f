// Command bridge is the half of `make bridge` that knows about servers: it tells Maven which unpacked Trino server and which JDK to compile against, and puts
// together what an operator installs. It is not an installer: that is presto-plugin-bridge/trino/install.sh, which it runs and packs.
package main

import (
	"archive/zip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/alio-lake/alio/itest/harness"
)

func main() {
	maven := flag.Bool("maven", false, "print the properties that Maven needs, and do nothing else")
	out := flag.String("out", "bin/bridge", "folder for what is built")
	flag.Parse()
	if err := run(context.Background(), *maven, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bridge:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, maven bool, out string) error {
	if maven {
		properties, err := harness.TrinoBridgeProperties(ctx, harness.Stderr)
		if err == nil {
			for _, p := range properties {
				fmt.Println(p)
			}
		}
		return err
	}
	kit, plugins, err := harness.TrinoBridge(ctx, harness.Stderr)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(out, "alio-trino-476.zip")
	if err := pack(kit, "alio-trino-476", archive); err != nil {
		return err
	}
	fmt.Println(archive)
	for _, folder := range plugins {
		link := filepath.Join(out, filepath.Base(folder))
		_ = os.Remove(link)
		if err := os.Symlink(folder, link); err != nil {
			return err
		}
		fmt.Println(link)
	}
	return nil
}

// pack zips the files of a kit below a folder of that name, without the plugin folders, which hold Trino's own jars.
func pack(kit, name, archive string) error {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	w := zip.NewWriter(f)
	err = filepath.WalkDir(kit, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(kit, path)
		switch {
		case err != nil:
			return err
		case rel == "plugin":
			return fs.SkipDir
		case d.IsDir() || rel == "sources":
			return nil
		}
		return add(w, path, filepath.ToSlash(filepath.Join(name, rel)))
	})
	return errors.Join(err, w.Close(), f.Close())
}

func add(w *zip.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header, err := zip.FileInfoHeader(info) // with the mode: install.sh is executable
	if err != nil {
		return err
	}
	header.Name, header.Method = name, zip.Deflate
	to, err := w.CreateHeader(header)
	if err == nil {
		_, err = io.Copy(to, f)
	}
	return err
}
