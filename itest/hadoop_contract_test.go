package itest

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness"
)

// junit runs test classes of JUnit 4 in a Java of their own, with the bridge's settings in the environment, and fails the test with what
// they print if they fail.
func junit(t *testing.T, classPath string, env []string, java []string, classes ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	jdk, err := harness.JDK()
	need(t, err)
	args := append(append([]string{"-Xmx512m"}, java...), "-cp", classPath, "org.junit.runner.JUnitCore")
	cmd := exec.CommandContext(ctx, filepath.Join(jdk, "bin", "java"), append(args, classes...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", classes, err, out)
	}
	return string(out)
}

// Hadoop 3.4's own contract tests of open, seek and vectored reads, and random reads, over local files that the bridge fills itself.
func TestHadoopContract(t *testing.T) {
	folder, err := harness.Bridge(t.Context(), "hadoop", t.Logf)
	need(t, err)
	s := harness.S3(t) // a sidecar needs a mount; this one is not read
	socket := filepath.Join(t.TempDir(), "alio.sock")
	alio := harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.Endpoint, Bucket: s.Bucket, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Socket: socket})
	libraries, err := os.ReadFile(filepath.Join(folder, "target", "test-classpath"))
	need(t, err)
	classPath := strings.Join([]string{filepath.Join(folder, "target", "classes"), filepath.Join(folder, "target", "test-classes"), string(libraries)}, ":")
	out := junit(t, classPath, []string{"ALIO_ADDRESS=" + socket, "ALIO_DIRECTORIES=" + alio.CacheDir, "ALIO_TEST_DIR=" + t.TempDir()}, nil,
		"io.alio.hadoop.contract.OpenContractIT", "io.alio.hadoop.contract.SeekContractIT", "io.alio.hadoop.contract.VectoredReadContractIT", "io.alio.hadoop.contract.RandomReadsIT")
	t.Log(out)
}

// Hadoop 2.7's contract tests of open and seek, which is the release that Presto carries, and random reads, over S3 by Presto's own file system
// with the bridge: where the sidecar reads S3, and where Presto does and fills.
func TestPrestoContract(t *testing.T) {
	ctx := t.Context()
	folder, err := harness.Bridge(ctx, "presto", t.Logf)
	need(t, err)
	jars, err := harness.PrestoPluginJars(ctx, "hive-hadoop2", t.Logf)
	need(t, err)
	lib, err := harness.PrestoLib(ctx, t.Logf) // has what Presto gives its plugins
	need(t, err)
	libraries, err := os.ReadFile(filepath.Join(folder, "target", "test-classpath"))
	need(t, err)
	classPath := strings.Join(append(append([]string{filepath.Join(folder, "target", "classes"), filepath.Join(folder, "target", "test-classes"), string(libraries)},
		slices.Sorted(maps.Values(jars))...), lib...), ":")
	for _, fill := range []string{"sidecar", "client"} {
		t.Run(fill, func(t *testing.T) {
			s := harness.S3(t)
			socket := filepath.Join(t.TempDir(), "alio.sock")
			alio := harness.SidecarWith(t, harness.AlioOptions{Endpoint: s.Endpoint, Bucket: s.Bucket, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Socket: socket})
			out := junit(t, classPath, []string{"ALIO_ADDRESS=" + socket, "ALIO_DIRECTORIES=" + alio.CacheDir, "ALIO_TEST_DIR=" + t.TempDir(), "ALIO_FILL=" + fill,
				"ALIO_S3_ENDPOINT=" + s.Endpoint, "ALIO_S3_ACCESS=" + s.AccessKey, "ALIO_S3_SECRET=" + s.SecretKey},
				harness.PrestoOpens(), "io.alio.presto.OpenContractIT", "io.alio.presto.SeekContractIT", "io.alio.presto.RandomReadsIT", "io.alio.presto.CostsIT", "io.alio.presto.FileSystemCacheIT")
			t.Log(out)
		})
	}
}
