package harness

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed hdfs/*.java
var hdfsSource embed.FS

// hdfsJars are what the file system runs on: the shaded client and cluster, what they leave out of themselves (logging, and the
// XML binding without which WebHDFS answers 500), what MiniDFSCluster names, and what the key provider of encryption zones names.
var hdfsJars = [][2]string{
	{"org.apache.hadoop", "hadoop-client-api"}, {"org.apache.hadoop", "hadoop-client-runtime"}, {"org.apache.hadoop", "hadoop-client-minicluster"},
	{"org.slf4j", "slf4j-api"}, {"org.slf4j", "slf4j-reload4j"}, {"ch.qos.reload4j", "reload4j"}, {"commons-logging", "commons-logging"},
	{"javax.xml.bind", "jaxb-api"}, {"javax.activation", "javax.activation-api"}, {"junit", "junit"}, {"org.hamcrest", "hamcrest-core"},
	{"org.bouncycastle", "bcprov-jdk18on"},
}

// hdfsProgram fetches the jars, compiles the program once for each version of its source, and returns a java command with the
// class path.
func hdfsProgram(ctx context.Context, logf Logf) (java, classPath string, err error) {
	home, err := JDK()
	if err != nil {
		return "", "", err
	}
	var jars []string
	for _, j := range hdfsJars {
		a, err := LookupArtifact(j[0], j[1])
		if err != nil {
			return "", "", err
		}
		path, err := Fetch(ctx, a, logf)
		if err != nil {
			return "", "", err
		}
		jars = append(jars, path)
	}
	libraries := strings.Join(jars, ":")
	classes, err := compileHDFS(ctx, filepath.Join(home, "bin", "javac"), libraries, logf)
	if err != nil {
		return "", "", fmt.Errorf("compile itest/harness/hdfs: %w", err)
	}
	return filepath.Join(home, "bin", "java"), classes + ":" + libraries, nil
}

// compileHDFS returns the folder of the classes, which is named by the source's sum.
func compileHDFS(ctx context.Context, javac, libraries string, logf Logf) (string, error) {
	entries, err := hdfsSource.ReadDir("hdfs")
	if err != nil {
		return "", err
	}
	sources, sum := map[string][]byte{}, sha256.New()
	for _, e := range entries { // in the order of their names
		text, err := hdfsSource.ReadFile("hdfs/" + e.Name())
		if err != nil {
			return "", err
		}
		sources[e.Name()] = text
		fmt.Fprintf(sum, "%s %d\n%s", e.Name(), len(text), text)
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	classes := filepath.Join(cache, "hdfs-classes-"+hex.EncodeToString(sum.Sum(nil))[:12])
	if _, err := os.Stat(classes); err == nil {
		return classes, nil
	}
	unlock, err := lockCache(ctx, filepath.Base(classes), logf)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(classes); err == nil { // another process compiled it while we waited
		return classes, nil
	}
	tmp, err := os.MkdirTemp(cache, ".hdfs-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	args := []string{"-nowarn", "-cp", libraries, "-d", filepath.Join(tmp, "classes")}
	for name, text := range sources {
		path := filepath.Join(tmp, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "", err
		}
		args = append(args, path)
	}
	if err := runQuiet(ctx, javac, args...); err != nil {
		return "", err
	}
	return classes, os.Rename(filepath.Join(tmp, "classes"), classes)
}
