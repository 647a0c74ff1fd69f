package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/alio-lake/alio/cmd/alio/bench"
	"github.com/alio-lake/alio/cmd/alio/bench/load"
	"github.com/alio-lake/alio/cmd/alio/bench/proc"
)

//go:embed nginx.lock
var nginxLock string

// nginxSetups are the configurations that are tried for each cell. tcp_nopush is off in all of them: with it a 64 KiB range out of a 1 MiB slice waits for
// a delayed acknowledgement, 44 ms.
var nginxSetups = []nginxSetup{
	{"1m", "on", "1"}, {"1m", "on", "auto"}, {"1m", "off", "1"}, {"1m", "off", "auto"},
	{"64k", "on", "1"}, {"64k", "on", "auto"}, {"64k", "off", "1"}, {"64k", "off", "auto"},
}

type nginxSetup struct{ slice, sendfile, workers string }

func (s nginxSetup) String() string {
	return fmt.Sprintf("slice %s, sendfile %s, workers %s", s.slice, s.sendfile, s.workers)
}

// addNginx starts one nginx for each set-up and fills its cache.
func addNginx(ctx context.Context, _ options, data load.Data, dir string, f *field) error {
	bin, version, err := nginxBinary(ctx)
	if err != nil {
		return fmt.Errorf("%w\n(leave nginx out with -peers)", err)
	}
	origin, asked, err := serveOrigin(data, f)
	if err != nil {
		return err
	}
	p := peer{name: peerNginx, what: "nginx " + version + " (Debian), proxy_cache with slice, on TCP: no signature, no sums (best of " + strconv.Itoa(len(nginxSetups)) +
		": slice 1m or 64k, sendfile on or off, one or auto workers)"}
	homes := 0
	start := func(ctx context.Context, s nginxSetup) (trial, error) {
		homes++
		home := filepath.Join(dir, "nginx-"+strconv.Itoa(homes))
		address, child, err := startNginx(ctx, bin, home, origin, s, data.Size)
		if err != nil {
			return nil, err
		}
		f.onClose(func() error { child.Kill(); return nil })
		dial := dialHTTP(address, data)
		for pass, before := 0, int64(-1); before != asked.Requests(); pass++ { // until a pass asks the origin for nothing
			if pass == 5 {
				return nil, fmt.Errorf("nginx (%v) does not cache all of the data set", s)
			}
			before = asked.Requests()
			if err := readAll(ctx, dial, data); err != nil {
				return nil, fmt.Errorf("nginx (%v): %w; its log ends:\n%s", s, err, child.Output())
			}
		}
		return byReaders(dial, func() (time.Duration, error) { return proc.GroupCPU(child.PID()) }), nil
	}
	for _, s := range nginxSetups {
		first, err := start(ctx, s)
		if err != nil {
			return err
		}
		p.setups = append(p.setups, setup{name: s.String(), run: first, more: func(ctx context.Context) (trial, error) { return start(ctx, s) }})
	}
	progress("%d nginx are warm", len(p.setups))
	f.add(p)
	return nil
}

// startNginx starts one and waits until it takes connections.
func startNginx(ctx context.Context, bin, home, origin string, s nginxSetup, size int64) (address string, child *proc.Process, err error) {
	for _, sub := range []string{"", "cache", "tmp"} {
		if err := os.MkdirAll(filepath.Join(home, sub), 0o700); err != nil {
			return "", nil, err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // nginx cannot choose a port itself
	if err != nil {
		return "", nil, err
	}
	address = ln.Addr().String()
	if err := ln.Close(); err != nil {
		return "", nil, err
	}
	conf := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(conf, []byte(nginxConf(home, address, origin, s, size)), 0o600); err != nil {
		return "", nil, err
	}
	child, err = proc.Start(ctx, exec.Command(bin, "-p", home, "-c", conf, "-e", "stderr"), nil)
	if err != nil {
		return "", nil, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			return address, child, conn.Close()
		}
		select {
		case <-child.Done():
			return "", nil, fmt.Errorf("nginx ended at once:\n%s", child.Output())
		case <-ctx.Done():
			child.Kill()
			return "", nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func nginxConf(home, address, origin string, s nginxSetup, size int64) string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // its workers must reach a folder that is ours alone
	}
	return fmt.Sprintf(`%sdaemon off;
worker_processes %s;
error_log stderr warn;
pid %s/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile %s;
  tcp_nopush off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  open_file_cache max=20000 inactive=1h;
  open_file_cache_valid 1h;
  client_body_temp_path %s/tmp/body;
  proxy_temp_path %s/tmp/proxy;
  fastcgi_temp_path %s/tmp/fastcgi;
  uwsgi_temp_path %s/tmp/uwsgi;
  scgi_temp_path %s/tmp/scgi;
  proxy_cache_path %s/cache levels=1:2 keys_zone=z:64m max_size=%d inactive=1d use_temp_path=off;
  server {
    listen %s;
    location / {
      slice %s;
      proxy_cache z;
      proxy_cache_key $uri$slice_range;
      proxy_set_header Range $slice_range;
      proxy_cache_valid 200 206 1d;
      proxy_cache_lock on;
      proxy_http_version 1.1;
      proxy_pass http://%s;
    }
  }
}
`, user, s.workers, home, s.sendfile, home, home, home, home, home, home, bench.CacheSize(load.Data{Size: size}), address, s.slice, origin)
}

// debian is a package that nginx.lock pins.
type debian struct {
	name, version, arch string
	bytes               int64
	sum                 string
}

func parseNginxLock(text string) (all []debian, err error) {
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " ")
		if len(f) != 5 || len(f[4]) != 64 {
			return nil, fmt.Errorf("nginx.lock line %d: want name, version, architecture, bytes, sha256", i+1)
		}
		n, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("nginx.lock line %d: %w", i+1, err)
		}
		all = append(all, debian{f[0], f[1], f[2], n, f[4]})
	}
	return all, nil
}

// nginxBinary is the path of nginx, fetched from Debian's mirror by apt-get and unpacked without being installed, and its version.
func nginxBinary(ctx context.Context) (path, version string, err error) {
	all, err := parseNginxLock(nginxLock)
	if err != nil {
		return "", "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", "", err
	}
	for _, tool := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", "", fmt.Errorf("nginx comes from Debian's packages, and %s is not here: run on Debian 12", tool)
		}
	}
	apt := aptOptions(cache)
	var errs []error
	for update := range 2 {
		if update == 1 { // the mirror's lists, in a folder of our own: no right of the system's is needed
			progress("fetching the package lists of this machine's Debian mirror")
			if _, err := output(ctx, "apt-get", append(apt, "update")...); err != nil {
				return "", "", errors.Join(append(errs, err)...)
			}
		}
		for _, d := range all {
			if d.arch != runtime.GOARCH {
				errs = append(errs, fmt.Errorf("nginx.lock has %s for %s only, this is %s", d.version, d.arch, runtime.GOARCH))
				continue
			}
			home := filepath.Join(cache, "nginx-"+strings.ReplaceAll(d.version, "+", "-"))
			bin := filepath.Join(home, "usr", "sbin", "nginx")
			if _, err := os.Stat(filepath.Join(home, "complete")); err != nil {
				options := apt
				if update == 0 {
					options = nil
				}
				if err := d.unpack(ctx, cache, home, options); err != nil {
					errs = append(errs, err)
					continue
				}
			}
			if _, err := output(ctx, bin, "-v"); err != nil {
				return "", "", fmt.Errorf("nginx does not run here (apt-get install libpcre2-8-0 libssl3 zlib1g brings what it links to): %w", err)
			}
			return bin, d.version, nil
		}
	}
	return "", "", errors.Join(append(errs, errors.New("the mirror has none of the versions of benchmarks/compare/nginx.lock: add its present one (apt-cache show nginx tells sum and size)"))...)
}

// aptOptions keep apt's state in a folder of ours.
func aptOptions(cache string) []string {
	apt := filepath.Join(cache, "apt")
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		_ = os.MkdirAll(filepath.Join(apt, sub), 0o755) // apt-get says what is wrong
	}
	return []string{"-q", "-o", "Dir::State::lists=" + filepath.Join(apt, "lists"), "-o", "Dir::Cache=" + filepath.Join(apt, "cache"), "-o", "APT::Sandbox::User=root"}
}

// unpack fetches the package into home, so that home is whole or not there.
func (d debian) unpack(ctx context.Context, cache, home string, options []string) error {
	progress("fetching %s %s from Debian (%d KB)", d.name, d.version, d.bytes>>10)
	tmp, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.Command("apt-get", append(options, "download", d.name+"="+d.version)...)
	cmd.Dir = tmp
	if _, err := proc.Run(ctx, cmd); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get download brought %v, %w", debs, err)
	}
	if err := verify(debs[0], d.bytes, d.sum); err != nil {
		return fmt.Errorf("%w; it was thrown away: compare nginx.lock with the mirror", err)
	}
	root := filepath.Join(tmp, "root")
	if _, err := output(ctx, "dpkg", "-x", debs[0], root); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "complete"), nil, 0o644); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(home), os.Rename(root, home))
}
