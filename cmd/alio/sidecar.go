package main

import (
	"io"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/sidecar/config"
)

func newSidecarCommand(stderr io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:     "sidecar",
		Short:   "Run the cache beside a query worker",
		Long:    sidecarHelp,
		Example: sidecarExamples,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load(cmd.Flags())
			if err != nil {
				return err
			}
			if f.check {
				return check(cfg, cmd.OutOrStdout())
			}
			log, err := newLogger(stderr, cfg.Log)
			if err != nil {
				return err
			}
			return runSidecar(cmd.Context(), cfg, log, func() (*config.Config, error) { return f.load(cmd.Flags()) })
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// check puts the parts together, which finds what only they know (a certificate that cannot be read, say), and prints what would be in force.
func check(cfg *config.Config, w io.Writer) error {
	p, err := assemble(cfg, zerolog.Nop())
	if err != nil {
		return err
	}
	if err := p.discard(); err != nil {
		return err
	}
	text, err := units.Encode(cfg)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

const sidecarHelp = `Run the cache beside a query worker.

Each --mount is an origin under a name: a bucket of S3 (s3://bucket) or of Google
Cloud Storage (gs://bucket), or an HDFS cluster (hdfs://namenode:8020), each whole
or from a folder on. Clients of the S3 endpoint see the name as a bucket, whatever
is behind it. A name such as lake/archive puts an origin below another one. Reads are answered from memory and from
--cache-dir; what is missing is read from the origin once and kept. Whatever is
wrong with the cache, reads go to the origin.

Keys and region for S3 come from the AWS default chain (AWS_REGION,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, shared files, web identity, instance
role), from flags or from the config file. The sidecar listens on loopback; anything wider needs TLS and
credentials (doors.s3 in the config file).

Credentials for Google come from its own default chain, HDFS settings from
HADOOP_CONF_DIR; the config file has keys for both. Writes pass through to S3, and
are refused on the other kinds unless mounts.<name>.writes says pass_through.

How old an answer may be is decided by freshness rules: files named by a UUID
are never asked for twice, other files are confirmed after 10 s, listings and
"not found" every time. docs/config.md lists the rules and how to change them.

SIGHUP (or alio mount reload): mounts, freshness rules, prefetch and clients' keys
are read again; a faulty file changes nothing and is told in the log.

SIGTERM or SIGINT: no new connections, requests under way get shutdown_grace
(10 s) to finish, the cache is sealed, exit 0. A second signal leaves at once.`

const sidecarExamples = `  # Start on one bucket, without a config file:
  alio sidecar --mount lake=s3://my-bucket --cache-dir /ssd/alio --cache-size 200GiB

  # The same on MinIO or another S3 server:
  alio sidecar --mount lake=s3://my-bucket --s3-endpoint http://minio:9000 --s3-path-style

  # Three kinds of origin in one namespace:
  alio sidecar --mount lake=hdfs://namenode:8020/warehouse \
    --mount lake/archive=gs://my-archive --mount logs=s3://my-logs

  # Point Trino at it: three lines in etc/catalog/<name>.properties
  s3.endpoint=http://127.0.0.1:9480
  s3.path-style-access=true
  s3.region=us-east-1

  # Tables then lie under s3://lake/… (mount the bucket under its own name and
  # nothing in the metastore changes: --mount my-bucket=s3://my-bucket).

  # Ask what it does, and whether it is ready:
  curl 127.0.0.1:9481/status
  curl 127.0.0.1:9481/readyz

  # Check a config file without starting anything:
  alio sidecar --config alio.yaml --check`
