package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/sidecar/config"
)

// loaded is the configuration that a file (may be "") and flags make.
func loaded(t *testing.T, file string, args ...string) *config.Config {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "alio.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	var f flags
	set := pflag.NewFlagSet("sidecar", pflag.ContinueOnError)
	f.register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	cfg, err := f.load(set)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestFlagsWinOverTheFile(t *testing.T) {
	const file = `
mounts: {lake: {uri: 's3://file', limits: {concurrency: 3}}}
cache: {dir: /file, size: 1GiB, memory: 2MiB}
doors: {s3: {listen: '127.0.0.1:1'}}
admin: {listen: '127.0.0.1:2'}
log: {level: warn, format: json}
`
	c := loaded(t, file, "--mount", "lake=s3://flag", "--cache-dir", "/flag", "--cache-size", "3GiB", "--memory", "5MiB", "--s3-listen", "127.0.0.1:3",
		"--admin-listen", "127.0.0.1:4", "--log-level", "debug", "--log-format", "console")
	if m := c.Mounts["lake"]; m.URI != "s3://flag" || m.Limits.Concurrency != 3 {
		t.Errorf("mount: %+v", m)
	}
	if c.Cache.Dir != "/flag" || c.Cache.Size != 3*units.GiB || c.Cache.Memory != 5*units.MiB {
		t.Errorf("cache: %+v", c.Cache)
	}
	if c.Doors.S3.Listen != "127.0.0.1:3" || c.Admin.Listen != "127.0.0.1:4" || c.Log != (config.Log{Level: "debug", Format: "console"}) {
		t.Errorf("%+v %+v %+v", c.Doors, c.Admin, c.Log)
	}
	c = loaded(t, file)
	if c.Cache.Dir != "/file" || c.Cache.Size != units.GiB || c.Doors.S3.Listen != "127.0.0.1:1" || c.Admin.Listen != "127.0.0.1:2" || c.Log.Level != "warn" {
		t.Errorf("flags that were not given changed the file's values: %+v", c)
	}
}

func TestNoFileIsNeeded(t *testing.T) {
	c := loaded(t, "", "--mount", "lake=s3://bucket/pre", "--mount", "sea=s3://other", "--cache-dir", "d", "--cache-dir", "e", "--cache-size", "10GiB")
	if len(c.Mounts) != 2 || c.Mounts["lake"].URI != "s3://bucket/pre" || c.Mounts["sea"].Retry != config.DefaultMount().Retry {
		t.Errorf("%+v", c.Mounts)
	}
}

func TestS3FlagsSpeakForMountsWithoutAnEndpointOfTheirOwn(t *testing.T) {
	const file = `
mounts:
  own: {uri: 's3://a', s3: {endpoint: 'http://own:1', region: r1}}
  region: {uri: 's3://b', s3: {region: r2}}
  keys: {uri: 's3://c', s3: {access_key_id: a, secret_access_key: b}}
  moved: {uri: 's3://d', s3: {endpoint: 'http://old:1', region: r3}}
`
	c := loaded(t, file, "--mount", "lake=s3://e", "--mount", "moved=s3://f", "--s3-endpoint", "http://flag:1", "--s3-region", "rf", "--s3-path-style", "--s3-anonymous")
	for name, want := range map[string]config.S3{
		"own":    {Endpoint: "http://own:1", Region: "r1"},
		"region": {Endpoint: "http://flag:1", Region: "r2", PathStyle: true, Anonymous: true},
		"keys":   {Endpoint: "http://flag:1", Region: "rf", PathStyle: true, AccessKeyID: "a", SecretAccessKey: "b"},
		"moved":  {Endpoint: "http://flag:1", Region: "rf", PathStyle: true, Anonymous: true},
		"lake":   {Endpoint: "http://flag:1", Region: "rf", PathStyle: true, Anonymous: true},
	} {
		if got := c.Mounts[name].S3; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
