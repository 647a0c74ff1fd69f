package config_test

import (
	"slices"
	"strings"
	"testing"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/sidecar/config"
)

const oneMount = "mounts: {lake: {uri: 's3://b'}}\n"

// faultsOf returns what is said of a file that decodes, one fault a line.
func faultsOf(t *testing.T, text string) string {
	t.Helper()
	c, src, err := config.Load(write(t, text))
	if err != nil {
		t.Fatalf("%q does not decode: %v", text, err)
	}
	faults := src.Locate(c.Validate())
	for i := range faults {
		faults[i].File = "f"
	}
	if err := faults.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestValidateReportsEveryFault(t *testing.T) {
	text := `mounts:
  Lake!:
    uri: ftp://nn
    writes: maybe
    s3: {endpoint: localhost, access_key_id: a}
    retry: {attempts: 0, max_elapsed: forever}
    limits: {concurrency: 0}
cache:
  dir: ~/cache
  size: 1MiB
  memory: 1
  metadata_share: 2
  object_memory: 0
  layout_memory: 1
  segment_size: 1
  write_queue: 0
  fill_span: 1
  fill_memory: 0
  first_read_memory: 0
  read_deadline: forever
freshness:
  rules:
    - {max_age: 1s, answers: [objects]}
    - {path: /lake/**}
doors:
  s3:
    listen: 0.0.0.0:9480
    domain: https://x
    tls: {cert_file: a}
    credentials:
      - {access_key_id: x, mounts: [nope]}
      - {access_key_id: x, secret_access_key: y}
      - {secret_access_key: y}
admin: {listen: "9481"}
log: {level: loud, format: xml}
shutdown_grace: forever
`
	want := []string{
		"f:2: mounts.Lake!: ", "f:3: mounts.Lake!.uri: ", "f:4: mounts.Lake!.writes: ", "f:5: mounts.Lake!.s3.endpoint: ", "f:5: mounts.Lake!.s3.secret_access_key: ",
		"f:6: mounts.Lake!.retry.attempts: ", "f:6: mounts.Lake!.retry.max_elapsed: ", "f:7: mounts.Lake!.limits.concurrency: ",
		"f:9: cache.dir: ", "f:10: cache.size: ", "f:11: cache.memory: ", "f:12: cache.metadata_share: ", "f:13: cache.object_memory: ",
		"f:14: cache.layout_memory: ", "f:15: cache.segment_size: ", "f:16: cache.write_queue: ", "f:17: cache.fill_span: ",
		"f:18: cache.fill_memory: ", "f:19: cache.first_read_memory: ", "f:20: cache.read_deadline: ",
		"f:23: freshness.rules[0].path: ", "f:23: freshness.rules[0].answers[0]: ", "f:24: freshness.rules[1].path: ",
		"f:28: doors.s3.domain: ", "f:29: doors.s3.tls: ", "f:31: doors.s3.credentials[0].secret_access_key: ",
		"f:31: doors.s3.credentials[0].mounts[0]: ", "f:32: doors.s3.credentials[1].access_key_id: ", "f:33: doors.s3.credentials[2].access_key_id: ",
		"f:34: admin.listen: ", "f:35: log.level: ", "f:35: log.format: ", "f:36: shutdown_grace: ",
	}
	got := strings.Split(faultsOf(t, text), "\n")
	for _, line := range got {
		if !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(line, w) && len(line) > len(w)+5 }) {
			t.Errorf("unexpected: %s", line)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, w) }) {
			t.Errorf("not reported: %s", w)
		}
	}
}

func TestValidateSingle(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "there is no mount",
		oneMount:                               "",
		"mounts: {lake: {uri: 's3://'}}":       "names no bucket",
		"mounts: {lake: {uri: 's3://b//x'}}":   "an empty, . or .. part",
		"mounts: {lake: {uri: 's3://b/../x'}}": "an empty, . or .. part",
		"mounts: {lake: {uri: 's3://b/x/'}}":   "",
		"mounts: {lake: {uri: 's3://b?x'}}":    "names no bucket",
		"mounts: {-lake: {uri: 's3://b'}}":     "cannot be a mount's name",
		"mounts: {a/b: {uri: 's3://b'}}":       "",
		"mounts: {a//b: {uri: 's3://b'}}":      "cannot be a mount's name",
		"mounts: {a/B: {uri: 's3://b'}}":       `"B" cannot be a mount's name`,
		"mounts: {a/..: {uri: 's3://b'}}":      "cannot be a mount's name",
		"mounts: {lake: {uri: 's3://b', s3: {endpoint: 'http://h/b'}}}":                                                 "holds more than scheme, host and port",
		"mounts: {lake: {uri: 's3://b', s3: {endpoint: 'http://u:pw@h'}}}":                                              "http://u:xxxxx@h",
		"mounts: {lake: {uri: 's3://b', s3: {endpoint: 'https://h:1/'}}}":                                               "",
		"mounts: {lake: {uri: 's3://b', s3: {secret_access_key: x}}}":                                                   "access_key_id: is missing",
		"mounts: {lake: {uri: 's3://b', s3: {session_token: x}}}":                                                       "session_token: needs",
		"mounts: {lake: {uri: 's3://b', s3: {anonymous: true, access_key_id: a, secret_access_key: b}}}":                "anonymous: contradicts",
		oneMount + "cache: {dir: d, size: 1TiB, segment_size: 64MiB}":                                                   "use 129MiB, or 0",
		oneMount + "cache: {dir: d, size: 1TiB, segment_size: 129MiB}":                                                  "",
		oneMount + "cache: {dir: d, size: 1TiB}":                                                                        "",
		oneMount + "cache: {size: 0, write_queue: 0}":                                                                   "", // memory only: the disk's keys do not matter
		oneMount + "doors: {s3: {listen: 'localhost:1'}}":                                                               "",
		oneMount + "doors: {s3: {listen: '[::1]:1'}}":                                                                   "",
		oneMount + "doors: {s3: {listen: '127.9.9.9:0'}}":                                                               "",
		oneMount + "doors: {s3: {listen: ':9480'}}":                                                                     "reachable from other machines",
		oneMount + "doors: {s3: {listen: '[::]:9480'}}":                                                                 "reachable from other machines",
		oneMount + "doors: {s3: {listen: 'myhost:9480'}}":                                                               "reachable from other machines",
		oneMount + "doors: {s3: {listen: '10.0.0.1:9480', tls: {cert_file: a, key_file: b}}}":                           "reachable from other machines",
		oneMount + "doors: {s3: {listen: '10.0.0.1:9480', credentials: [{access_key_id: a, secret_access_key: b}]}}":    "reachable from other machines",
		oneMount + "doors: {s3: {listen: '127.0.0.1:99999'}}":                                                           "no port between",
		oneMount + "doors: {s3: {listen: '127.0.0.1:http'}}":                                                            "no port between",
		oneMount + "doors: {s3: {listen: '127.0.0.1:9481'}}":                                                            "the same address",
		oneMount + "doors: {s3: {listen: '127.0.0.1:0'}}\nadmin: {listen: '127.0.0.1:0'}":                               "",
		oneMount + "doors: {s3: {credentials: [{access_key_id: a, secret_access_key: b, mounts: [lake/sales, lake]}]}}": "",
		oneMount + "doors: {s3: {credentials: [{access_key_id: a, secret_access_key: b, mounts: [sea/sales]}]}}":        "there is no mount \"sea\"",
		oneMount + "doors: {s3: {credentials: [{access_key_id: a, secret_access_key: b, mounts: [lake//x]}]}}":          "has an empty part",
		oneMount + "doors: {s3: {credentials: [{access_key_id: 'a b', secret_access_key: b}]}}":                         "which no signature can carry",
		oneMount + "admin: {listen: '0.0.0.0:9481'}":                                                                    "",
		oneMount + "admin: {listen: '0.0.0.0:9481', pprof: true}":                                                       "admin.pprof: shows the memory",
	} {
		got := faultsOf(t, text)
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestKindsOfOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"{uri: 'gs://bucket/folder'}":                                                "",
		"{uri: 'gs:///folder'}":                                                      "names no bucket: write gs://",
		"{uri: 'hdfs://nn1:8020,nn2:8020/warehouse'}":                                "",
		"{uri: 'hdfs://lake', hdfs: {conf_dir: /etc/hadoop, user: alio}}":            "",
		"{uri: 'hdfs://'}":                                                           "names no NameNode",
		"{uri: 'hdfs://me@nn:8020'}":                                                 "names no NameNode",
		"{uri: 'viewfs://x'}":                                                        "no origin this build can mount",
		"{uri: 'gs://b', s3: {region: r}}":                                           "s3: speaks of s3://",
		"{uri: 's3://b', hdfs: {user: u}}":                                           "hdfs: speaks of hdfs://",
		"{uri: 's3://b', gcs: {anonymous: true}}":                                    "gcs: speaks of gs://",
		"{uri: 'gs://b', gcs: {endpoint: 'http://h:1'}}":                             "in the clear",
		"{uri: 'gs://b', gcs: {endpoint: 'http://h:1', anonymous: true}}":            "",
		"{uri: 'gs://b', gcs: {endpoint: 'https://h/x'}}":                            "holds more than scheme",
		"{uri: 'gs://b', gcs: {credentials_file: f, anonymous: true}}":               "contradicts credentials_file",
		"{uri: 'hdfs://nn', hdfs: {principal: a@B}}":                                 "keytab: is missing",
		"{uri: 'hdfs://nn', hdfs: {keytab: k}}":                                      "principal: is missing",
		"{uri: 'hdfs://nn', hdfs: {principal: a@B, keytab: k, credential_cache: c}}": "contradicts keytab",
		"{uri: 'hdfs://nn', hdfs: {data_transfer_protection: some}}":                 "data_transfer_protection",
		"{uri: 'hdfs://nn', hdfs: {clients: 0}}":                                     "clients: 0 is too few",
		"{uri: 'hdfs://nn', hdfs: {buffer: 1}}":                                      "buffer: 1 is too little",
		"{uri: 's3://b', writes: sometimes}":                                         "want one of read_only, pass_through",
	} {
		if got := faultsOf(t, "mounts: {lake: "+text+"}\n"); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	for text, want := range map[string]string{"s3://b": config.PassThrough, "gs://b": config.ReadOnly, "hdfs://nn": config.ReadOnly} {
		m := config.Mount{URI: text}
		other := config.Mount{URI: text, Writes: map[string]string{config.ReadOnly: config.PassThrough, config.PassThrough: config.ReadOnly}[want]}
		if m.WritePolicy() != want || other.WritePolicy() != other.Writes {
			t.Errorf("%s: writes are %s by default and %s when that is said", text, m.WritePolicy(), other.WritePolicy())
		}
	}
}

func TestSplitURI(t *testing.T) {
	for uri, want := range map[string][2]string{"s3://b": {"b", ""}, "s3://b/": {"b", ""}, "s3://b/a/c/": {"b", "a/c"}, "s3://my.b-1/x": {"my.b-1", "x"}} {
		b, p, err := config.SplitURI(uri)
		if err != nil || b != want[0] || p != want[1] {
			t.Errorf("%s: %q %q %v", uri, b, p, err)
		}
	}
}

func TestDirectoriesOfTheDiskTier(t *testing.T) {
	for _, c := range []struct{ cache, want string }{
		{"{dir: /a, more_dirs: [{dir: /b}, {dir: /c, size: 1GiB}]}", ""},
		{"{more_dirs: [{dir: /b}]}", "cache.dir: is missing"},
		{"{dir: /a, more_dirs: [{dir: /b}, {dir: /a/}]}", `cache.more_dirs[1].dir: "/a/" is cache.dir already`},
		{"{dir: /a, more_dirs: [{size: 1GiB}]}", "cache.more_dirs[0].dir: is missing"},
		{"{dir: /a, more_dirs: [{dir: /b, size: 1MiB}]}", "cache.more_dirs[0].size: 1MiB is too small"},
	} {
		if got := faultsOf(t, oneMount+"cache: "+c.cache+"\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.cache, got, c.want)
		}
	}
	c := config.Cache{Dir: "/a", Size: 7, MoreDirs: []config.CacheDir{{Dir: "/b"}, {Dir: "/c", Size: 9}}}
	if got, want := c.Dirs(), []config.CacheDir{{Dir: "/a", Size: 7}, {Dir: "/b", Size: 7}, {Dir: "/c", Size: 9}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestMetadataDirectories(t *testing.T) {
	const head = "mounts: {lake: {uri: s3://b}}\ncache: {dir: /c, size: 10GiB, "
	for _, c := range []struct{ text, want string }{
		{"metadata_dir: off}", ""},
		{"metadata_dir: /elsewhere, metadata_size: 100GiB}", ""},
		{"metadata_size: 5GiB}", ""},
		{"metadata_size: 6GiB}", "cache.metadata_size: 6GiB is more than half"},
		{"metadata_size: 1MiB}", "cache.metadata_size: 1MiB is too little"},
		{"metadata_dir: /c/segments}", "lies in the cache directory"},
		{"metadata_dir: /c}", "lies in the cache directory"},
		{"metadata_dir: ~/m}", "only a shell expands"},
		{"metadata_memory: 1}", "cache.metadata_memory: 1 is too little"},
	} {
		if got := faultsOf(t, head+c.text); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestWhereMetadataIs(t *testing.T) {
	for _, c := range []struct {
		cache  config.Cache
		dir    string
		size   units.Size
		inside bool
	}{
		{config.Cache{Dir: "/c", Size: 16 * units.GiB}, "/c/metadata", units.GiB, true},
		{config.Cache{Dir: "/c", Size: 1024 * units.GiB}, "/c/metadata", 4 * units.GiB, true},
		{config.Cache{Dir: "/c", Size: 64 * units.MiB}, "", 0, false},
		{config.Cache{Dir: "/c", Size: 64 * units.MiB, MetadataSize: 20 * units.MiB}, "/c/metadata", 20 * units.MiB, true},
		{config.Cache{Dir: "/c", Size: 16 * units.GiB, MetadataDir: "/m"}, "/m", units.GiB, false},
		{config.Cache{Dir: "/c", Size: 16 * units.GiB, MetadataDir: config.Off}, "", 0, false},
		{config.Cache{Size: 16 * units.GiB}, "", 0, false},
		{config.Cache{Size: 16 * units.GiB, MetadataDir: "/m"}, "/m", units.GiB, false},
	} {
		if dir, size, inside := c.cache.Metadata(); dir != c.dir || size != c.size || inside != c.inside {
			t.Errorf("%+v: %q, %s, %v", c.cache, dir, size, inside)
		}
	}
}

func TestPrefetchIsValidated(t *testing.T) {
	for text, want := range map[string]string{
		"{mode: on, rules: [{path: 'lake/**', mode: metadata}, {path: '**', mode: off}], requests: 1, ahead: 1MiB, bandwidth: 1GiB}": "",
		"{mode: sometimes}":                  `prefetch.mode: "sometimes" is unknown: want one of off, metadata, on`,
		"{rules: [{mode: on}]}":              "prefetch.rules[0].path: is missing",
		"{rules: [{path: /lake, mode: on}]}": "starts with a slash",
		"{rules: [{path: lake/**}]}":         `prefetch.rules[0].mode: "" is unknown`,
		"{requests: 0}":                      "prefetch.requests: 0 is too few",
		"{ahead: 1KiB}":                      "prefetch.ahead: 1KiB is too little",
	} {
		if got := faultsOf(t, oneMount+"prefetch: "+text+"\n"); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}
