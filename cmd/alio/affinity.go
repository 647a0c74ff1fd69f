package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alio-lake/alio/affinity"
	units "github.com/alio-lake/alio/internal/config"
	"github.com/alio-lake/alio/sidecar/config"
)

// affinityFlags are what the command line of alio affinity may say; each wins over the file.
type affinityFlags struct {
	config      string
	dataDir     string
	etcd        []string
	etcdListen  string
	adminListen string
	grpcSocket  string
	grpcListen  string
	logLevel    string
	logFormat   string
	check       bool
}

func newAffinityCommand(stderr io.Writer) *cobra.Command {
	var f affinityFlags
	cmd := &cobra.Command{
		Use:     "affinity",
		Short:   "Run the affinity service without a sidecar; drain members",
		Long:    affinityHelp,
		Example: affinityExamples,
		Args:    unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load(cmd.Flags())
			if err != nil {
				return err
			}
			if f.check {
				return checkAffinity(cfg, cmd.OutOrStdout())
			}
			log, err := newLogger(stderr, cfg.Log)
			if err != nil {
				return err
			}
			return runAffinity(cmd.Context(), cfg, log)
		},
	}
	f.register(cmd.Flags())
	cmd.AddCommand(newDrainCommand(false), newDrainCommand(true))
	return cmd
}

func (f *affinityFlags) register(set *pflag.FlagSet) {
	d := config.Default()
	set.StringVar(&f.config, "config", "", "YAML `file` (docs/config.md: affinity, doors.grpc, admin, log); flags win over it")
	set.StringVar(&f.dataDir, "data-dir", "alio-affinity", "`directory` of the embedded etcd's data and of the last epoch")
	set.StringArrayVar(&f.etcd, "etcd", nil, "`URL` of a node of an etcd cluster, such as https://etcd-1:2379; repeat it for each; none: embedded")
	set.StringVar(&f.etcdListen, "etcd-listen", config.DefaultEtcdListen, "`address` of the embedded etcd, where sidecars reach it; wider than loopback needs TLS (affinity.embedded in the config file)")
	set.StringVar(&f.adminListen, "admin-listen", config.DefaultAffinityListen, "`address` of /v1/assign, /v1/ring, /metrics, /healthz, /readyz and /status")
	set.StringVar(&f.grpcSocket, "grpc-socket", "", "`path` of a Unix socket for Assign and Watch; none: off")
	set.StringVar(&f.grpcListen, "grpc-listen", "", "`address` of the same for TCP, where clients show tokens (doors.grpc in the config file); none: off")
	set.StringVar(&f.logLevel, "log-level", d.Log.Level, "debug, info, warn or error")
	set.StringVar(&f.logFormat, "log-format", "", "json or console (default console on a terminal, else json)")
	set.BoolVar(&f.check, "check", false, "check the configuration, print what would be in force with secrets masked, and exit")
	set.SortFlags = false
}

// load makes the configuration: defaults, then the file, then the flags that were given.
func (f *affinityFlags) load(set *pflag.FlagSet) (*config.Config, error) {
	cfg, src := config.Default(), &units.Source{}
	if f.config != "" {
		var err error
		if cfg, src, err = config.Load(f.config); err != nil {
			return nil, err
		}
	}
	a := &cfg.Affinity
	for name, apply := range map[string]func(){
		"data-dir":     func() { a.Dir = f.dataDir },
		"etcd":         func() { a.Etcd.Endpoints, a.Embedded.Listen = f.etcd, "" },
		"etcd-listen":  func() { a.Embedded.Listen = f.etcdListen },
		"admin-listen": func() { cfg.Admin.Listen = f.adminListen },
		"grpc-socket":  func() { cfg.Doors.GRPC.Socket = f.grpcSocket },
		"grpc-listen":  func() { cfg.Doors.GRPC.Listen = f.grpcListen },
		"log-level":    func() { cfg.Log.Level = f.logLevel },
		"log-format":   func() { cfg.Log.Format = f.logFormat },
	} {
		if set.Changed(name) {
			apply()
		}
	}
	if a.Dir == "" {
		a.Dir = f.dataDir
	}
	if !a.On() {
		a.Embedded.Listen = f.etcdListen
	}
	if cfg.Admin.Listen == config.DefaultAdminListen { // a sidecar's, which may run beside this
		cfg.Admin.Listen = config.DefaultAffinityListen
	}
	if err := src.Locate(cfg.ValidateAffinity()).Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

func checkAffinity(cfg *config.Config, w io.Writer) error {
	if _, err := newAffinityParts(cfg, zerolog.Nop()); err != nil {
		return err
	}
	text, err := units.Encode(&struct {
		Affinity config.Affinity `yaml:"affinity"`
		Doors    struct {
			GRPC config.GRPCDoor `yaml:"grpc"`
		} `yaml:"doors"`
		Admin config.Admin `yaml:"admin"`
		Log   config.Log   `yaml:"log"`
	}{Affinity: cfg.Affinity, Doors: struct {
		GRPC config.GRPCDoor `yaml:"grpc"`
	}{cfg.Doors.GRPC}, Admin: cfg.Admin, Log: cfg.Log})
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// newDrainCommand is drain, or what takes it back.
func newDrainCommand(off bool) *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   "drain NAME",
		Short: "Let a member own nothing more; it stays a member, and others can still read what it has",
		Long:  drainHelp,
		Args:  oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"member": args}
			if off {
				query.Set("off", "true")
			}
			var reply struct {
				affinity.DrainedJSON
				Error string `json:"error"`
			}
			if _, err := f.ask(cmd.Context(), http.MethodPost, "/v1/drain?"+query.Encode(), answerWithin, &reply); err != nil {
				return err
			}
			if reply.Error != "" {
				return fmt.Errorf("%s", reply.Error)
			}
			said := "drains: the next epoch gives what it owns to the others; alio ring show tells"
			if off {
				said = "may own again: the next epoch gives it its share"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], said)
			return err
		},
	}
	if off {
		cmd.Use, cmd.Short = "undrain NAME", "Let a member own its share again"
	}
	f.register(cmd.Flags())
	return cmd
}

func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%d arguments: %s wants one member's name; alio ring show lists them", len(args), cmd.CommandPath()), cmd.CommandPath()}
	}
	return nil
}

const drainHelp = `A member that drains owns nothing: the next epoch gives its sections to others, about
1/n of all. It stays a member, so what it has cached can still be read from it. What is
said here is kept in etcd until it is taken back, whether the member runs or not.

What would move, before it is done: alio ring what-if --drain NAME`

const affinityHelp = `Run the affinity service without a sidecar: beside a coordinator that has none, or as
the etcd of a fleet.

The service tells which workers should run a split, so that a file's splits keep
landing where its pages already are. Members are the sidecars beside the workers
(affinity: in their config files); they announce themselves in etcd. One process at a
time, elected, edits the ring when they come, go, drain or fail, and publishes each
epoch of it; everybody answers from their own copy. While etcd is away the last epoch
stays in force, and it is on disk too.

Without --etcd the process has an etcd inside, with its data in --data-dir: nothing
needs to be installed, and a restart goes on where it was. For production give it a
cluster of three or five nodes (--etcd, or affinity.etcd in the config file, which has
keys for TLS and passwords), and let the sidecars use the same.

Every sidecar with an affinity section answers the same questions at its own doors, so
a coordinator that has a sidecar beside it asks that one.

Ctrl-C or SIGTERM: it leaves the election at once, so that another leads. docs/affinity.md
says the rest.`

const affinityExamples = `  # The whole of it on one machine, with an etcd inside:
  alio affinity --data-dir /var/lib/alio/affinity

  # A sidecar that joins: in its config file
  affinity:
    name: worker-1
    worker: worker-1:8080
    etcd: {endpoints: ["http://127.0.0.1:2379"]}

  # Who owns a file, and what the ring looks like:
  curl '127.0.0.1:9483/v1/assign?mount=lake&path=sales/part-7.parquet&owners=2'
  curl 127.0.0.1:9483/v1/ring
  alio ring show --admin 127.0.0.1:9483

  # With an etcd cluster:
  alio affinity --etcd https://etcd-1:2379 --etcd https://etcd-2:2379 --etcd https://etcd-3:2379

  # Take a worker out before its machine is replaced, and back:
  alio ring what-if --drain worker-7 --admin 127.0.0.1:9483
  alio affinity drain worker-7 --admin 127.0.0.1:9483
  alio affinity undrain worker-7 --admin 127.0.0.1:9483`
