package harness

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed artifacts.lock
var artifactsLock string

//go:embed presto.lock
var prestoLock string

// Artifact is one file of a Maven repository, pinned by its length and its sum. Most have no Classifier.
type Artifact struct {
	Group, Name, Version, Packaging, Classifier string

	Bytes  int64
	SHA256 string // 64 lower-case hex digits
}

// Coordinate is group:artifact:version:packaging[:classifier], as mvn and the lock files spell it.
func (a Artifact) Coordinate() string {
	parts := []string{a.Group, a.Name, a.Version, a.Packaging}
	if a.Classifier != "" {
		parts = append(parts, a.Classifier)
	}
	return strings.Join(parts, ":")
}

// File is the artifact's file name.
func (a Artifact) File() string {
	name := a.Name + "-" + a.Version
	if a.Classifier != "" {
		name += "-" + a.Classifier
	}
	return name + "." + a.Packaging
}

// repoPath is where a Maven local repository keeps it.
func (a Artifact) repoPath(repo string) string {
	return filepath.Join(repo, filepath.FromSlash(strings.ReplaceAll(a.Group, ".", "/")), a.Name, a.Version, a.File())
}

// LookupArtifact finds the one locked version of a Maven artifact by group and name.
func LookupArtifact(group, name string) (Artifact, error) {
	all, err := parseLock("artifacts.lock", artifactsLock)
	if err != nil {
		return Artifact{}, err
	}
	for _, a := range all {
		if a.Group == group && a.Name == name {
			return a, nil
		}
	}
	return Artifact{}, fmt.Errorf("artifacts.lock holds no %s:%s", group, name)
}

// parseLock reads a lock file strictly: each line is a comment, empty, or exactly a coordinate, a length and a sum.
func parseLock(file, text string) ([]Artifact, error) {
	var all []Artifact
	seen := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		a, err := parseLockLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s line %d: %w", file, i+1, err)
		}
		if seen[a.Group+":"+a.Name] {
			return nil, fmt.Errorf("%s line %d: %s:%s is there twice", file, i+1, a.Group, a.Name)
		}
		seen[a.Group+":"+a.Name] = true
		all = append(all, a)
	}
	return all, nil
}

func parseLockLine(line string) (Artifact, error) {
	f := strings.Split(line, " ")
	if len(f) != 3 {
		return Artifact{}, fmt.Errorf("want coordinate, bytes and sha256 with one space between, got %q", line)
	}
	c := strings.Split(f[0], ":")
	if len(c) != 4 && len(c) != 5 {
		return Artifact{}, fmt.Errorf("coordinate %q is not group:artifact:version:packaging[:classifier]", f[0])
	}
	for _, part := range c {
		if part == "" || strings.ContainsAny(part, `/\`) || strings.Contains(part, "..") {
			return Artifact{}, fmt.Errorf("coordinate %q has a bad part %q", f[0], part)
		}
	}
	n, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || n <= 0 {
		return Artifact{}, fmt.Errorf("%q is not a length in bytes", f[1])
	}
	if sum, err := hex.DecodeString(f[2]); err != nil || len(sum) != 32 || f[2] != strings.ToLower(f[2]) {
		return Artifact{}, fmt.Errorf("%q is not a sha256 in lower-case hex", f[2])
	}
	a := Artifact{Group: c[0], Name: c[1], Version: c[2], Packaging: c[3], Bytes: n, SHA256: f[2]}
	if len(c) == 5 {
		a.Classifier = c[4]
	}
	return a, nil
}
