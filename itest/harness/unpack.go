package harness

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// trinoPlugins are what is kept of Trino's plugins: 500 MB instead of 896 with all of them. A server loads those it is given.
var trinoPlugins = []string{"hive", "tpcds", "delta-lake", "hudi", "iceberg", "jmx", "tpch", "memory"}

// TrinoHome is the folder of the unpacked Trino server under CacheDir, fetched and unpacked if it is not there.
func TrinoHome(ctx context.Context, logf Logf) (string, error) {
	a, err := LookupArtifact("io.trino", "trino-server")
	if err != nil {
		return "", err
	}
	part := "-" + shortHash(strings.Join(trinoPlugins, " ")) // another list, another folder
	return unpacked(ctx, a, part, logf, func(archive, tmp string) (string, error) { return unpackTrino(ctx, archive, tmp, a, logf) })
}

// unpacked is the folder under CacheDir with what an archive holds, fetched and unpacked if it is not there. The archive is removed after
// that: the stamp inside the folder says which archive it came from and what it must hold. unpack fills the empty folder tmp and
// answers the folder in it, or tmp itself, that is to be kept. suffix ends the folder's name; it tells what is kept, where that is not all.
func unpacked(ctx context.Context, a Artifact, suffix string, logf Logf, unpack func(archive, tmp string) (keep string, err error)) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, fmt.Sprintf("%s-%s-%s%s", a.Name, a.Version, a.SHA256[:12], suffix))
	if checkTree(home, a.SHA256) == nil {
		return home, nil
	}
	archive, err := Fetch(ctx, a, logf)
	if err != nil {
		return "", err
	}
	unlock, err := lockCache(ctx, filepath.Base(home), logf)
	if err != nil {
		return "", err
	}
	defer unlock()
	if checkTree(home, a.SHA256) == nil {
		return home, nil
	}
	logf("unpacking %s", a.File())
	if err := fillTree(home, a.SHA256, func(tmp string) (string, error) { return unpack(archive, tmp) }); err != nil {
		return "", fmt.Errorf("unpack %s: %w", a.File(), err)
	}
	_ = os.Remove(archive)
	_ = os.Remove(archive + ".verified")
	return home, nil
}

// fillTree has a new folder beside home filled, stamps what fill says is to be kept of it and renames that to home, so that home is
// whole or not there.
func fillTree(home, source string, fill func(tmp string) (keep string, err error)) error {
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(home), ".unpack-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	keep, err := fill(tmp)
	if err != nil {
		return err
	}
	if err := stampTree(keep, source); err != nil {
		return err
	}
	if err := os.Chmod(keep, 0o755); err != nil {
		return err
	}
	return os.Rename(keep, home)
}

// unpackTrino unpacks the server and keeps some of its plugins. Their jars are hard links to each other in the archive, so all is
// unpacked before what is not kept is removed.
func unpackTrino(ctx context.Context, archive, tmp string, a Artifact, logf Logf) (string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := untarGz(ctx, &countingReader{r: f, name: a.File(), total: a.Bytes, logf: logf, shown: time.Now()}, tmp); err != nil {
		return "", err
	}
	top := filepath.Join(tmp, a.Name+"-"+a.Version)
	plugins, err := os.ReadDir(filepath.Join(top, "plugin"))
	if err != nil {
		return "", err
	}
	for _, p := range plugins {
		if !slices.Contains(trinoPlugins, p.Name()) {
			if err := os.RemoveAll(filepath.Join(top, "plugin", p.Name())); err != nil {
				return "", err
			}
		}
	}
	return top, nil
}

// untarGz unpacks folders, files and links below dir and refuses a name that leads out of it.
func untarGz(ctx context.Context, r io.Reader, dir string) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	in := tar.NewReader(gz)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) || (h.Typeflag == tar.TypeLink && !filepath.IsLocal(h.Linkname)) {
			return fmt.Errorf("entry %q leads out of the archive", h.Name)
		}
		if err := unpackEntry(in, h, dir); err != nil {
			return err
		}
	}
}

func unpackEntry(in io.Reader, h *tar.Header, dir string) error {
	path := filepath.Join(dir, h.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeLink:
		return os.Link(filepath.Join(dir, h.Linkname), path)
	case tar.TypeReg:
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(h.Mode)&0o755|0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, in)
		return errors.Join(err, f.Close())
	default:
		return fmt.Errorf("entry %q is of type %q: neither folder, file nor hard link", h.Name, h.Typeflag)
	}
}

const treeStamp = ".alio-tree"

// treeText describes a folder: where it came from, and how many files and bytes it holds.
func treeText(dir, source string) (string, error) {
	var files, bytes int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == treeStamp {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files++
			bytes += info.Size()
		}
		return err
	})
	return fmt.Sprintf("%s %d files %d bytes\n", source, files, bytes), err
}

func stampTree(dir, source string) error {
	text, err := treeText(dir, source)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, treeStamp), []byte(text), 0o644)
}

// checkTree says whether a folder still holds what its stamp says (some thousands of files: milliseconds).
func checkTree(dir, source string) error {
	want, err := os.ReadFile(filepath.Join(dir, treeStamp))
	if err != nil {
		return err
	}
	got, err := treeText(dir, source)
	if err != nil {
		return err
	}
	if got != string(want) {
		return fmt.Errorf("%s holds %swhere its stamp says %s", dir, strings.TrimSuffix(got, "\n"), want)
	}
	return nil
}

// countingReader reports how far the reading of an archive is.
type countingReader struct {
	r           io.Reader
	name        string
	read, total int64
	logf        Logf
	shown       time.Time
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.read += int64(n)
	if time.Since(c.shown) > 2*time.Second {
		c.shown = time.Now()
		c.logf("  %s: %d of %d MB unpacked (%d %%)", c.name, c.read>>20, c.total>>20, 100*c.read/c.total)
	}
	return n, err
}
