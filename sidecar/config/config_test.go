package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/sidecar/config"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// defaults is what a sidecar with one mount and nothing else said runs with: a change here is a change for every user.
const defaults = `mounts:
  lake:
    uri: s3://bucket
    writes: ""
    s3:
      endpoint: ""
      region: ""
      path_style: false
      access_key_id: ""
      secret_access_key: ""
      session_token: ""
      anonymous: false
    gcs:
      endpoint: ""
      credentials_file: ""
      anonymous: false
      user_project: ""
    hdfs:
      conf_dir: ""
      user: ""
      principal: ""
      keytab: ""
      credential_cache: ""
      krb5_conf: ""
      service_principal: ""
      data_transfer_protection: ""
      use_datanode_hostname: false
      clients: 16
      buffer: 2MiB
    retry:
      attempts: 6
      max_elapsed: 30s
    limits:
      concurrency: 64
      bandwidth: "0"
cache:
  dir: ""
  size: 10GiB
  more_dirs: []
  memory: 256MiB
  metadata_share: 0.5
  object_memory: 64MiB
  metadata_dir: ""
  metadata_size: "0"
  metadata_memory: 32MiB
  layout_memory: 32MiB
  segment_size: "0"
  write_queue: 64MiB
  fill_span: 16MiB
  fill_memory: 64MiB
  first_read_memory: 64MiB
  read_deadline: 500ms
freshness:
  rules: []
prefetch:
  mode: "off"
  rules: []
  requests: 4
  ahead: 64MiB
  bandwidth: "0"
doors:
  s3:
    listen: 127.0.0.1:9480
    domain: ""
    tls:
      cert_file: ""
      key_file: ""
    credentials: []
  grpc:
    socket: ""
    listen: ""
    users: []
    tokens: []
    tls:
      cert_file: ""
      key_file: ""
    shared: false
    claim_deadline: 10s
affinity:
  name: ""
  worker: ""
  sidecar: ""
  zone: ""
  weight: 0
  candidate: true
  dir: ""
  lease: 10s
  absent: 2h
  etcd:
    endpoints: []
    prefix: /alio/affinity/
    ca_file: ""
    tls:
      cert_file: ""
      key_file: ""
    username: ""
    password: ""
  embedded:
    listen: ""
    dir: ""
    tls:
      cert_file: ""
      key_file: ""
    ca_file: ""
    insecure: false
  ring:
    owners: 3
    bound: 0.05
    section_size: 256MiB
    partitions: 4096
    zones: []
  load:
    queued: 0
    latency: 0s
    after: 10s
    back: 30s
    excluded_share: 0.34
    ahead: 64
    hot_rate: 50
    hot_owners: 8
    hot_cool: 1m
peers:
  listen: ""
  ca_file: ""
  tls:
    cert_file: ""
    key_file: ""
  in_flight: 64MiB
  pull_rate: 64MiB
  patience: 5ms
  timeout: 1s
admin:
  listen: 127.0.0.1:9481
  pprof: false
log:
  level: info
  format: ""
shutdown_grace: 10s
`

// everything gives every key a value that is not its default.
const everything = `
mounts:
  lake:
    uri: s3://bucket/warehouse
    s3:
      endpoint: http://127.0.0.1:9000
      region: eu-west-1
      path_style: true
      access_key_id: ${LAKE_ID}
      secret_access_key: ${LAKE_SECRET}
      session_token: token
    retry: {attempts: 2, max_elapsed: 3s}
    limits: {concurrency: 8, bandwidth: 100MiB}
    writes: read_only
  open:
    uri: s3://public
    s3: {anonymous: true}
  lake/archive:
    uri: gs://archive
    gcs: {endpoint: 'https://gcs.example.com', credentials_file: /etc/alio/gcs.json, user_project: billing}
  sea:
    uri: gs://open
    gcs: {anonymous: true}
  hadoop:
    uri: hdfs://cluster/warehouse
    hdfs:
      conf_dir: /etc/hadoop/conf
      principal: alio@EXAMPLE.COM
      keytab: /etc/alio/alio.keytab
      krb5_conf: /etc/alio/krb5.conf
      service_principal: nn/_HOST@EXAMPLE.COM
      data_transfer_protection: privacy
      use_datanode_hostname: true
      clients: 4
      buffer: 1MiB
  old:
    uri: hdfs://nn1:8020,nn2:8020
    hdfs: {user: alio, credential_cache: /tmp/krb5cc_0}
cache:
  dir: /var/cache/alio
  size: 1TiB
  more_dirs:
    - dir: /mnt/ssd2/alio
      size: 2TiB
  memory: 1GiB
  metadata_share: 0.3
  object_memory: 100MB
  metadata_dir: /ssd0/known
  metadata_size: 3GiB
  metadata_memory: 64MiB
  layout_memory: 10MB
  segment_size: 256MiB
  write_queue: 32MiB
  fill_span: 8MiB
  fill_memory: 128MiB
  first_read_memory: 32MiB
  read_deadline: 1s
freshness:
  rules:
    - path: lake/static/**
      answers: [object, listing, not_found]
      max_age: forever
    - {path: "lake/**", max_age: 1s}
prefetch:
  mode: on
  rules:
    - {path: "lake/logs/**", mode: off}
  requests: 2
  ahead: 128MiB
  bandwidth: 100MiB
doors:
  s3:
    listen: 0.0.0.0:443
    domain: s3.example.com
    tls: {cert_file: /tls/cert.pem, key_file: /tls/key.pem}
    credentials:
      - access_key_id: trino
        secret_access_key: ${TRINO_SECRET}
        mounts: [lake/sales]
  grpc:
    socket: /run/alio.sock
    listen: 10.0.0.7:9482
    users: [1000, 1001]
    tokens:
      - name: presto
        token: ${PRESTO_TOKEN}
        mounts: [lake/sales]
    tls: {cert_file: /tls/grpc.pem, key_file: /tls/grpc.key}
    shared: true
    claim_deadline: 3s
affinity:
  name: ${LAKE_ID}
  worker: worker-1:8080
  sidecar: worker-1:9482
  zone: b
  weight: 500
  candidate: false
  dir: /var/lib/alio/affinity
  lease: 20s
  absent: 1m
  etcd:
    endpoints: ['https://etcd-1:2379', 'https://etcd-2:2379']
    prefix: /fleet/
    ca_file: /tls/etcd-ca.pem
    tls: {cert_file: /tls/etcd.pem, key_file: /tls/etcd.key}
    username: alio
    password: ${LAKE_SECRET}
  embedded:
    listen: 0.0.0.0:2379
    dir: /var/lib/alio/etcd
    tls: {cert_file: /tls/etcd.pem, key_file: /tls/etcd.key}
    ca_file: /tls/etcd-ca.pem
    insecure: true
  ring: {owners: 2, bound: 0.1, section_size: 128MiB, partitions: 8192, zones: [a, b]}
  load: {queued: 500, latency: 2s, after: 20s, back: 1m, excluded_share: 0.2, ahead: 20, hot_rate: 100, hot_owners: 16, hot_cool: 2m}
peers:
  listen: 0.0.0.0:9482
  ca_file: /tls/peers-ca.pem
  tls: {cert_file: /tls/peers.pem, key_file: /tls/peers.key}
  in_flight: 32MiB
  pull_rate: 16MiB
  patience: 7ms
  timeout: 2s
admin:
  listen: 127.0.0.1:1234
  pprof: true
log:
  level: debug
  format: console
shutdown_grace: 1m
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "alio.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDefaults(t *testing.T) {
	c, src, err := config.Load(write(t, "mounts: {lake: {uri: 's3://bucket'}}"))
	if err != nil || src == nil {
		t.Fatal(err)
	}
	if faults := c.Validate(); len(faults) > 0 {
		t.Errorf("the defaults are not valid:\n%v", faults)
	}
	text, err := units.Encode(c)
	if err != nil || string(text) != defaults {
		t.Errorf("%v; got\n%s\nwant\n%s", err, text, defaults)
	}
	back, _, err := config.Load(write(t, string(text)))
	if err != nil || !same(t, back, c) {
		t.Errorf("what is printed does not read back: %v", err)
	}
}

func same(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := units.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := units.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}

func TestEveryKey(t *testing.T) {
	t.Setenv("LAKE_ID", "AKIALAKE")
	t.Setenv("LAKE_SECRET", "lake-secret")
	t.Setenv("TRINO_SECRET", "trino-secret")
	t.Setenv("PRESTO_TOKEN", "presto-token")
	c, _, err := config.Load(write(t, everything))
	if err != nil {
		t.Fatal(err)
	}
	valid := *c
	valid.Affinity.Etcd.Endpoints = nil // that, or an etcd inside
	if faults := valid.Validate(); len(faults) > 0 {
		t.Errorf("not valid:\n%v", faults)
	}
	set := map[string]bool{}
	differing("", reflect.ValueOf(*c), reflect.ValueOf(*config.Default()), set)
	for path := range leaves(reflect.TypeFor[config.Config]()) {
		if !set[path] {
			t.Errorf("%s: the file of this test does not set it to anything but its default, or it is not read", path)
		}
	}
	printed, _ := units.Encode(c)
	for _, secret := range []string{"lake-secret", "trino-secret", "token\n"} {
		if strings.Contains(string(printed), secret) {
			t.Errorf("the printed configuration shows %q", secret)
		}
	}
	if m := c.Mounts["lake"]; m.S3.SecretAccessKey.Reveal() != "lake-secret" || m.S3.AccessKeyID != "AKIALAKE" {
		t.Errorf("environment references: %+v", m.S3)
	}
}

// leaves yields the path of every key that holds a value; <name> and [] stand for a map's key and an index.
func leaves(t reflect.Type) map[string]bool {
	all := map[string]bool{}
	units.Walk(t, func(k units.Key) {
		if k.Leaf {
			all[k.Path] = true
		}
	})
	return all
}

// differing marks the leaves at which v differs from its default.
func differing(path string, v, def reflect.Value, out map[string]bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			differing(units.Join(path, units.FieldName(v.Type().Field(i))), v.Field(i), def.Field(i), out)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			differing(path+".<name>", v.MapIndex(key), elementDefault(v.Type().Elem()), out)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			out[path] = out[path] || v.Len() > 0
			return
		}
		for i := range v.Len() {
			differing(path+"[]", v.Index(i), elementDefault(v.Type().Elem()), out)
		}
	default:
		out[path] = out[path] || !reflect.DeepEqual(v.Interface(), def.Interface())
	}
}

func elementDefault(t reflect.Type) reflect.Value {
	p := reflect.New(t)
	if d, ok := p.Interface().(units.Defaulter); ok {
		d.SetDefaults()
	}
	return p.Elem()
}

func TestAnswersAreFreshnessKinds(t *testing.T) {
	c := config.Default()
	c.Mounts = map[string]config.Mount{"lake": {URI: "s3://b", Retry: config.DefaultMount().Retry, Limits: config.DefaultMount().Limits}}
	c.Freshness.Rules = []config.Rule{{Path: "**", Answers: slices.Clone(freshness.Kinds)}}
	if faults := c.Validate(); len(faults) > 0 {
		t.Errorf("a kind of freshness is unknown here:\n%v", faults)
	}
}

func TestMissingFile(t *testing.T) {
	_, _, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"))
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("got %v", err)
	}
}
