package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// KDCRealm is the realm of every KDC of the harness.
const KDCRealm = "ALIO.TEST"

// kdcPackages are MIT Kerberos' server, its kinit, and what they link to, from Debian: 1.2 MB. They are not pinned, since Debian's mirrors drop a
// version with each point release; apt checks every one against the mirror's signed lists.
var kdcPackages = []string{"krb5-kdc", "krb5-admin-server", "krb5-user", "libgssrpc4", "libkadm5srv-mit12", "libkdb5-10", "libverto1", "libverto-libev1", "libev4",
	"libss2", "libk5crypto3", "libkrb5-3", "libkrb5support0", "libgssapi-krb5-2", "libkeyutils1", "libcom-err2"}

// KDC is a running Kerberos server (MIT krb5kdc) on a loopback port of its own.
type KDC struct {
	Krb5Conf string // path of a krb5.conf for clients
	Dir      string

	root string // of the unpacked packages
	port *Port
	proc *Process
}

// StartKDC fetches MIT Kerberos if need be and starts a KDC without principals, whose tickets live for life. The caller must Stop it.
// ctx bounds the start only.
func StartKDC(ctx context.Context, dir string, life time.Duration, logf Logf) (*KDC, error) {
	root, err := kdcRoot(ctx, logf)
	if err != nil {
		return nil, fmt.Errorf("a Kerberos server: %w", err)
	}
	k := &KDC{Krb5Conf: filepath.Join(dir, "krb5.conf"), Dir: dir, root: root}
	if k.port, err = PickPort(); err != nil {
		return nil, err
	}
	if err := k.start(ctx, life); err != nil {
		k.Stop()
		return nil, err
	}
	return k, nil
}

func (k *KDC) start(ctx context.Context, life time.Duration) error {
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return err
	}
	const types = "aes256-cts-hmac-sha1-96"
	client := "[libdefaults]\n default_realm = " + KDCRealm + "\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n" +
		" dns_canonicalize_hostname = false\n udp_preference_limit = 1\n default_tkt_enctypes = " + types + "\n default_tgs_enctypes = " + types +
		"\n permitted_enctypes = " + types + "\n[realms]\n " + KDCRealm + " = {\n  kdc = " + k.port.Addr() + "\n }\n" +
		"[dbmodules]\n db_module_dir = " + filepath.Join(k.libraries()[0], "krb5/plugins/kdb") + "\n"
	server := fmt.Sprintf("[kdcdefaults]\n kdc_listen = %s\n kdc_tcp_listen = %s\n[realms]\n %s = {\n  database_name = %s\n  key_stash_file = %s\n"+
		"  max_life = %ds\n  supported_enctypes = %s:normal\n  master_key_type = %s\n }\n[logging]\n kdc = STDERR\n",
		k.port.Addr(), k.port.Addr(), KDCRealm, filepath.Join(k.Dir, "principals"), filepath.Join(k.Dir, "stash"), int(life.Seconds()), types, types)
	if err := errors.Join(os.WriteFile(k.Krb5Conf, []byte(client), 0o644), os.WriteFile(filepath.Join(k.Dir, "kdc.conf"), []byte(server), 0o600)); err != nil {
		return err
	}
	if err := k.run(ctx, "kdb5_util", "create", "-s", "-P", "alio", "-r", KDCRealm); err != nil {
		return err
	}
	var err error
	k.proc, err = startProcess(processSpec{Name: "krb5kdc", Path: k.program("krb5kdc"), Args: []string{"-n", "-r", KDCRealm},
		Env: k.env(), Dir: k.Dir, LogFile: filepath.Join(k.Dir, "kdc.log")})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return k.proc.ready(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", k.port.Addr())
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

// Keytab makes principals with random keys (again, if they are there) and returns the path of a keytab that holds them.
func (k *KDC) Keytab(ctx context.Context, name string, principals ...string) (string, error) {
	path := filepath.Join(k.Dir, name+".keytab")
	for _, p := range principals {
		if err := k.run(ctx, "kadmin.local", "-r", KDCRealm, "-q", "addprinc -randkey "+p); err != nil {
			return "", err
		}
		if err := k.run(ctx, "kadmin.local", "-r", KDCRealm, "-q", "ktadd -norandkey -k "+path+" "+p); err != nil {
			return "", err
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("kadmin.local made no keytab: %w", err)
	}
	return path, nil
}

// Limit bounds the life of a principal's tickets.
func (k *KDC) Limit(ctx context.Context, principal string, life time.Duration) error {
	return k.run(ctx, "kadmin.local", "-r", KDCRealm, "-q", fmt.Sprintf("modprinc -maxlife \"%d seconds\" %s", int(life.Seconds()), principal))
}

// Rekey gives a principal another random key: keytabs made before are then wrong.
func (k *KDC) Rekey(ctx context.Context, principal string) error {
	return k.run(ctx, "kadmin.local", "-r", KDCRealm, "-q", "cpw -randkey "+principal)
}

// Ticket puts a principal's ticket of a life into a credential cache, in place of what was there, as kinit does; it returns the cache's path.
func (k *KDC) Ticket(ctx context.Context, name, keytab, principal string, life time.Duration) (string, error) {
	path := filepath.Join(k.Dir, name+".ccache")
	return path, k.run(ctx, "kinit", "-c", "FILE:"+path, "-k", "-t", keytab, "-l", fmt.Sprintf("%ds", int(life.Seconds())), principal)
}

// Stop ends the server. It may be called more than once.
func (k *KDC) Stop() {
	if k.proc != nil {
		k.proc.Kill()
	}
	k.port.Release()
}

func (k *KDC) program(name string) string {
	if name == "kinit" {
		return filepath.Join(k.root, "usr", "bin", name)
	}
	return filepath.Join(k.root, "usr", "sbin", name)
}

// libraries are the folders of the unpacked libraries, that of usr first.
func (k *KDC) libraries() []string {
	usr, _ := filepath.Glob(filepath.Join(k.root, "usr", "lib", "*-linux-gnu"))
	lib, _ := filepath.Glob(filepath.Join(k.root, "lib", "*-linux-gnu"))
	return append(usr, lib...)
}

func (k *KDC) env() []string {
	return []string{"KRB5_CONFIG=" + k.Krb5Conf, "KRB5_KDC_PROFILE=" + filepath.Join(k.Dir, "kdc.conf"), "LD_LIBRARY_PATH=" + strings.Join(k.libraries(), ":")}
}

func (k *KDC) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, k.program(name), args...)
	cmd.Env = append(os.Environ(), k.env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, lastLines(string(out), 15))
	}
	return nil
}

// kdcRoot is where the packages lie unpacked, under CacheDir: fetched by apt-get with the system's package lists, else with lists of
// its own, and never installed.
func kdcRoot(ctx context.Context, logf Logf) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache, "krb5-debian")
	if kdcComplete(root) {
		return root, nil
	}
	unlock, err := lockCache(ctx, "krb5-debian", logf)
	if err != nil {
		return "", err
	}
	defer unlock()
	if kdcComplete(root) {
		return root, nil
	}
	for _, tool := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("it comes from Debian's packages, and %s is not here: run on Debian 12", tool)
		}
	}
	logf("fetching MIT Kerberos from Debian (1 MB)")
	first := unpackDebian(ctx, cache, root, nil)
	if first == nil {
		return root, nil
	}
	apt := filepath.Join(cache, "apt")
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(apt, sub), 0o755); err != nil {
			return "", err
		}
	}
	options := []string{"-q", "-o", "Dir::State::lists=" + filepath.Join(apt, "lists"), "-o", "Dir::Cache=" + filepath.Join(apt, "cache"), "-o", "APT::Sandbox::User=root"}
	if err := runQuiet(ctx, "apt-get", append(options, "update")...); err != nil {
		return "", errors.Join(first, err)
	}
	if err := unpackDebian(ctx, cache, root, options); err != nil {
		return "", errors.Join(first, err)
	}
	return root, nil
}

// kdcComplete reports whether root holds every package, and not only those of an earlier list.
func kdcComplete(root string) bool {
	b, err := os.ReadFile(filepath.Join(root, "complete"))
	return err == nil && string(b) == strings.Join(kdcPackages, "\n")
}

// unpackDebian fetches the packages and unpacks them into root, which is whole or not there.
func unpackDebian(ctx context.Context, cache, root string, options []string) error {
	tmp, err := os.MkdirTemp(cache, ".krb5-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "apt-get", append(append(options, "download"), kdcPackages...)...)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download: %w\n%s", err, lastLines(string(out), 10))
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != len(kdcPackages) {
		return fmt.Errorf("apt-get download brought %d packages of %d (%v)", len(debs), len(kdcPackages), err)
	}
	whole := filepath.Join(tmp, "root")
	for _, deb := range debs {
		if err := runQuiet(ctx, "dpkg", "-x", deb, whole); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(whole, "complete"), []byte(strings.Join(kdcPackages, "\n")), 0o644); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(root), os.Rename(whole, root))
}
