package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// FetchAll is Fetch for many artifacts, which one run of mvn downloads: a run for each costs seconds. The paths come in the order
// of the artifacts.
func FetchAll(ctx context.Context, all []Artifact, logf Logf) ([]string, error) {
	return fetchAllWith(ctx, all, logf, mavenCopy)
}

// fetchAllWith is FetchAll with the download as a parameter: download puts the files of all artifacts into the folder out of tmp.
func fetchAllWith(ctx context.Context, all []Artifact, logf Logf, download func(ctx context.Context, all []Artifact, tmp string, logf Logf) error) ([]string, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	paths, missing, names := make([]string, len(all)), []Artifact(nil), sha256.New()
	for i, a := range all {
		paths[i] = filepath.Join(cache, "artifacts", a.File())
		if !stamped(paths[i], a) {
			missing = append(missing, a)
			fmt.Fprintln(names, a.Coordinate())
		}
	}
	if len(missing) == 0 {
		return paths, nil
	}
	unlock, err := lockCache(ctx, "batch-"+hex.EncodeToString(names.Sum(nil))[:12], logf)
	if err != nil {
		return nil, err
	}
	defer unlock()
	tmp, err := os.MkdirTemp(cache, ".fetch-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	done := false // none is downloaded if another process has fetched them all meanwhile
	get := func(ctx context.Context, a Artifact, logf Logf) (string, error) {
		if !done {
			if err := download(ctx, missing, tmp, logf); err != nil {
				return "", err
			}
			done = true
		}
		return filepath.Join(tmp, "out", a.File()), nil
	}
	for _, a := range missing {
		if _, err := fetchWith(ctx, a, filepath.Join(cache, "artifacts", a.File()), logf, get); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// project is the smallest Maven project that copies artifacts.
type project struct {
	XMLName      xml.Name `xml:"project"`
	ModelVersion string   `xml:"modelVersion"`
	GroupID      string   `xml:"groupId"`
	ArtifactID   string   `xml:"artifactId"`
	Version      string   `xml:"version"`
	Packaging    string   `xml:"packaging"`
	PluginGroup  string   `xml:"build>plugins>plugin>groupId"`
	Plugin       string   `xml:"build>plugins>plugin>artifactId"`
	Items        []item   `xml:"build>plugins>plugin>configuration>artifactItems>artifactItem"`
}

type item struct {
	Group      string `xml:"groupId"`
	Name       string `xml:"artifactId"`
	Version    string `xml:"version"`
	Type       string `xml:"type"`
	Classifier string `xml:"classifier,omitempty"`
}

// mavenCopy runs mvn with a local repository of its own below tmp, which goes with it.
func mavenCopy(ctx context.Context, all []Artifact, tmp string, logf Logf) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("mvn is not on the PATH: install Maven 3.6 or newer; it is what downloads come through")
	}
	p := project{ModelVersion: "4.0.0", GroupID: "alio", ArtifactID: "fetch", Version: "1", Packaging: "pom",
		PluginGroup: "org.apache.maven.plugins", Plugin: "maven-dependency-plugin"}
	var size int64
	for _, a := range all {
		p.Items = append(p.Items, item{Group: a.Group, Name: a.Name, Version: a.Version, Type: a.Packaging, Classifier: a.Classifier})
		size += a.Bytes
	}
	pom, err := xml.Marshal(p)
	if err != nil {
		return err
	}
	pomFile, out := filepath.Join(tmp, "pom.xml"), filepath.Join(tmp, "out")
	if err := os.WriteFile(pomFile, pom, 0o644); err != nil {
		return err
	}
	logf("fetching %d artifacts (%d MB) with mvn, first %s", len(all), size>>20, all[0].File())
	cmd := exec.CommandContext(ctx, mvn, "-B", "-ntp", "-f", pomFile, strings.TrimSuffix(mavenGet, ":get")+":copy", "-DoutputDirectory="+out,
		"-Dmaven.repo.local="+filepath.Join(tmp, "repo"))
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); watchCount(stop, out, len(all), logf) }()
	err = cmd.Run()
	close(stop)
	<-done
	if err != nil {
		return fmt.Errorf("mvn: %w\n%s", err, lastLines(text.String(), 15))
	}
	return nil
}

// watchCount reports every few seconds how many files a folder has.
func watchCount(stop <-chan struct{}, dir string, total int, logf Logf) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for shown := 0; ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		entries, _ := os.ReadDir(dir)
		if n := len(entries); n > shown {
			shown = n
			logf("  %d of %d artifacts", n, total)
		}
	}
}
