package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the program: with ALIO_TEST_RUN set it runs main, so that tests can send it real signals.
func TestMain(m *testing.M) {
	if os.Getenv("ALIO_TEST_RUN") != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// isolate keeps the machine's own AWS settings out of a test.
func isolate(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"} {
		t.Setenv(name, "")
	}
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, filepath.Join(t.TempDir(), "none"))
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// command runs one command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestCommandLines(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const mount = "lake=s3://bucket"
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"version"}, 0, "alio devel (commit ", ""},
		{[]string{}, 0, "Available Commands", ""},
		{[]string{"--help"}, 0, "alio sidecar --mount lake=s3://my-bucket", ""},
		{[]string{"sidecar", "--help"}, 0, "s3.endpoint=http://127.0.0.1:9480", ""},
		{[]string{"sidecra"}, 2, "", `unknown command "sidecra"; did you mean "sidecar"?`},
		{[]string{"zzzzzzzz"}, 2, "", `unknown command "zzzzzzzz" (see alio --help)`},
		{[]string{"version", "x"}, 2, "", `unexpected argument "x"`},
		{[]string{"sidecar", "--colour"}, 2, "", "unknown flag: --colour (see alio sidecar --help)"},
		{[]string{"sidecar", "--cache-size", "ten"}, 2, "", `"ten" is not a size`},
		{[]string{"sidecar", "--mount", "lake"}, 2, "", "write NAME=s3://bucket"},
		{[]string{"sidecar", "--mount", mount, "--mount", mount}, 2, "", "--mount lake: given twice"},
		{[]string{"sidecar"}, 1, "", "there is no mount"},
		{[]string{"sidecar", "--mount", "lake=ftp://nn/x"}, 1, "", "mounts.lake.uri: "},
		{[]string{"sidecar", "--mount", mount, "--log-level", "loud"}, 1, "", "log.level: "},
		{[]string{"sidecar", "--mount", mount, "--s3-listen", "0.0.0.0:9480"}, 1, "", "needs doors.s3.tls and doors.s3.credentials"},
		{[]string{"sidecar", "--config", filepath.Join(dir, "none.yaml")}, 1, "", "none.yaml"},
		{[]string{"sidecar", "--config", file("typo.yaml", "mounts:\n  lake: {uri: 's3://b'}\ncahce:\n  dir: x\n")}, 1, "", `typo.yaml:3: cahce: unknown key; did you mean "cache"?`},
		{[]string{"sidecar", "--config", file("two.yaml", "mounts: {lake: {uri: x}}\nlog: {level: y}\n")}, 1, "", "two.yaml:2: log.level"},
		{[]string{"sidecar", "--check", "--mount", "lake=s3://bucket"}, 0, "uri: s3://bucket", ""},
		{[]string{"sidecar", "--check", "--mount", "lake=hdfs://nn:8020/warehouse", "--mount", "lake/archive=gs://bucket/folder"}, 0, "uri: gs://bucket/folder", ""},
		{[]string{"sidecar", "--check", "--mount", "lake=s3://bucket", "--mount", "lake//archive=gs://bucket"}, 1, "", "mounts.lake//archive: "},
		{[]string{"sidecar", "--mount", "lake"}, 2, "", "NAME=hdfs://host:port"},
		{[]string{"mount", "--help"}, 0, "alio mount check", ""},
		{[]string{"affinity", "--help"}, 0, "alio affinity drain worker-7", ""},
		{[]string{"affinity", "--check"}, 0, "listen: 127.0.0.1:2379", ""},
		{[]string{"affinity", "--check", "--etcd", "https://etcd-1:2379"}, 0, "- https://etcd-1:2379", ""},
		{[]string{"affinity", "--etcd", "etcd-1:2379"}, 1, "", "is no URL of etcd"},
		{[]string{"affinity", "--etcd-listen", "0.0.0.0:2379"}, 1, "", "whoever reaches it may change the ring"},
		{[]string{"affinity", "drian", "x"}, 2, "", `did you mean "drain"?`},
		{[]string{"affinity", "drain"}, 2, "", "wants one member's name"},
		{[]string{"affinity", "drain", "x", "--admin", "127.0.0.1:1"}, 1, "", "no sidecar answers at 127.0.0.1:1"},
		{[]string{"ring"}, 0, "alio ring what-if --leave worker-7", ""},
		{[]string{"ring", "show", "--admin", "127.0.0.1:1"}, 1, "", "nobody answers at 127.0.0.1:1"},
		{[]string{"ring", "owner"}, 2, "", "wants one alio://mount/path"},
		{[]string{"sidecar", "--check", "--mount", mount, "--s3-region", "eu-west-1"}, 0, "region: eu-west-1", ""},
		{[]string{"sidecar", "--check", "--config", file("tls.yaml",
			"mounts: {lake: {uri: 's3://bucket', s3: {region: x}}}\ndoors: {s3: {tls: {cert_file: /none/c, key_file: /none/k}}}\n")}, 1, "", "doors.s3.tls: open /none/c"},
	} {
		code, stdout, stderr := command(t, c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
			t.Errorf("alio %s\nexit %d, want %d\nstdout %s\nwant %s\nstderr %s\nwant %s", strings.Join(c.args, " "), code, c.code, stdout, c.stdout, stderr, c.stderr)
		}
		for _, line := range strings.Split(strings.TrimSuffix(stderr, "\n"), "\n") {
			if stderr != "" && !strings.HasPrefix(line, "alio: ") {
				t.Errorf("alio %s: the line %q does not start with the program's name", strings.Join(c.args, " "), line)
			}
		}
	}
}

func TestCheckMasksSecrets(t *testing.T) {
	isolate(t)
	t.Setenv("THE_SECRET", "hunter2")
	path := filepath.Join(t.TempDir(), "a.yaml")
	text := "mounts: {lake: {uri: 's3://bucket', s3: {region: x, access_key_id: AKIA, secret_access_key: '${THE_SECRET}', session_token: tok3n}}}\n" +
		"doors: {s3: {credentials: [{access_key_id: a, secret_access_key: s3cret}]}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := command(t, "sidecar", "--config", path, "--check")
	if code != 0 || !strings.Contains(stdout, "AKIA") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	for _, secret := range []string{"hunter2", "tok3n", "s3cret"} {
		if strings.Contains(stdout, secret) {
			t.Errorf("--check prints the secret %s:\n%s", secret, stdout)
		}
	}
}
