package hdfs

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	krb "github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	krbcreds "github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// credentials log in by a keytab, or follow a credential cache that something else (kinit, k5start) renews. Either file may change at any time.
type credentials struct {
	user, realm   string
	keytab, cache string // one of them
	file          string // krb5.conf
	conf          *config.Config

	mu      sync.Mutex
	current *krb.Client
	changed time.Time     // modification time of the file that current came from
	retired []*krb.Client // before current, perhaps still in use: ended with the origin
}

func newCredentials(o Options) (*credentials, error) {
	file := o.KerberosConf
	if file == "" {
		file = os.Getenv("KRB5_CONFIG")
	}
	if file == "" {
		file = "/etc/krb5.conf"
	}
	conf, err := config.Load(file)
	if err != nil {
		return nil, fmt.Errorf("hdfs: the Kerberos configuration %s cannot be used: %w", file, err)
	}
	c := &credentials{file: file, conf: conf, keytab: o.Keytab, cache: o.CredentialCache}
	c.user, c.realm, _ = strings.Cut(o.Principal, "@")
	if c.keytab == "" && c.cache == "" {
		if c.cache = strings.TrimPrefix(os.Getenv("KRB5CCNAME"), "FILE:"); c.cache == "" {
			c.cache = fmt.Sprintf("/tmp/krb5cc_%d", os.Getuid())
		}
	}
	return c, nil
}

// client is logged in, or says why it cannot be.
func (c *credentials) client() (*krb.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keytab != "" {
		return c.fromKeytab()
	}
	info, err := os.Stat(c.cache)
	if err != nil {
		return nil, fmt.Errorf("there is no Kerberos ticket: run kinit, or name a keytab: %w", err)
	}
	if c.current != nil && info.ModTime().Equal(c.changed) {
		return c.current, nil
	}
	cl, err := c.fromCache()
	if err != nil && c.current != nil {
		return c.current, nil // kinit may be in the middle of writing it; what it held before says itself when it has expired
	}
	if err != nil {
		return nil, err
	}
	c.current, c.changed = cl, info.ModTime() // the client before it runs nothing that would have to be ended
	return cl, nil
}

func (c *credentials) fromCache() (*krb.Client, error) {
	cache, err := loadCache(c.cache)
	if err != nil {
		return nil, err
	}
	cl, err := krb.NewFromCCache(cache, c.conf, krb.DisablePAFXFAST(true))
	if err != nil {
		return nil, fmt.Errorf("the Kerberos tickets in %s cannot be used: run kinit again: %w", c.cache, err)
	}
	return cl, nil
}

// fromKeytab is the client of the keytab as it is now: keys are changed while the sidecar runs, and the KDC then takes those of the file before no more.
// Where the new file cannot be used, perhaps because it is still being written, the client at hand goes on for as long as its ticket.
func (c *credentials) fromKeytab() (*krb.Client, error) {
	info, err := os.Stat(c.keytab)
	if err == nil && (c.current == nil || !info.ModTime().Equal(c.changed)) {
		var cl *krb.Client
		if cl, err = c.login(); err == nil {
			if c.current != nil {
				c.retired = append(c.retired, c.current)
			}
			c.current, c.changed = cl, info.ModTime()
			return cl, nil
		}
	} else if err != nil {
		err = c.unread(err)
	}
	if c.current == nil {
		return nil, err
	}
	if old := c.current.AffirmLogin(); old != nil {
		return nil, cmp.Or(err, c.refused(old))
	}
	return c.current, nil
}

// login gets a ticket with the keytab as it is now.
func (c *credentials) login() (*krb.Client, error) {
	b, err := os.ReadFile(c.keytab)
	if err != nil {
		return nil, c.unread(err)
	}
	kt := keytab.New()
	if kt.Unmarshal(b) != nil { // what it says is not passed on: it can be the file itself, with the keys in it
		return nil, fmt.Errorf("the keytab %s cannot be used: it is broken, or has not been written to its end: make the keytab again", c.keytab)
	}
	cl := krb.NewWithKeytab(c.user, c.realm, kt, c.conf, krb.DisablePAFXFAST(true))
	if err := cl.AffirmLogin(); err != nil {
		return nil, c.refused(err)
	}
	return cl, nil
}

func (c *credentials) unread(err error) error {
	return fmt.Errorf("the keytab %s cannot be read: %w", c.keytab, err)
}

func (c *credentials) refused(err error) error {
	return fmt.Errorf("%s@%s cannot log in to Kerberos with the keytab %s: %w", c.user, c.realm, c.keytab, err)
}

// name is who logs in, as far as that is known without asking.
func (c *credentials) name() string {
	if c.keytab != "" {
		return c.user + "@" + c.realm
	}
	return "the owner of " + c.cache
}

// loginHint is what to do about credentials that are not accepted, by what the Kerberos library, the KDC or the NameNode says of them.
func (o *Origin) loginHint(err error) string {
	if o.creds == nil {
		return "the cluster asks for Kerberos: set hadoop.security.authentication to kerberos in core-site.xml, or give a principal and its keytab or a credential cache"
	}
	text := err.Error()
	service := fmt.Sprintf("dfs.namenode.kerberos.principal (here %s), with _HOST the name by which the NameNode is reached", o.cluster.service)
	for _, h := range []struct{ says, hint string }{
		{"KDC_ERR_C_PRINCIPAL_UNKNOWN", "the KDC has no such user: compare the principal with klist -k"},
		{"matching key not found in keytab", "the keytab has no key of that principal and encryption type: compare with klist -ke"},
		{"KDC_ERR_PREAUTH_FAILED", staleKeytab}, {"integrity verification failed", staleKeytab},
		{"KDC_ERR_S_PRINCIPAL_UNKNOWN", "the KDC has no such service: check " + service},
		{"no user credentials available", "the ticket of " + o.who() + " has expired: run kinit again, or name a keytab, which needs no kinit"},
		{"KRB_AP_ERR_SKEW", "the clocks of this machine and the KDC differ by more than Kerberos allows"},
		{"GSS initiate failed", "the NameNode does not take its ticket: check the clocks, and " + service},
		{"there is no Kerberos ticket", ""}, {"cannot be used", ""}, {"cannot be read", ""}, {"is broken", "run kinit again"},
	} {
		if strings.Contains(text, h.says) {
			return h.hint
		}
	}
	return "the ticket or token has expired or is not accepted: run kinit again, or check the keytab and the clock"
}

const staleKeytab = "the keytab's key is not the principal's present one: make the keytab again"

// close ends the renewal of tickets.
func (c *credentials) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.retired = append(c.retired, c.current)
	}
	for _, cl := range c.retired {
		cl.Destroy()
	}
	c.current, c.retired = nil, nil
}

// loadCache reads a credential cache; the library that does panics on some broken ones.
func loadCache(file string) (cache *krbcreds.CCache, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the credential cache %s is broken: %v", file, r)
		}
	}()
	if cache, err = krbcreds.LoadCCache(file); err != nil {
		err = fmt.Errorf("the credential cache %s cannot be read: %w", file, err)
	}
	return cache, err
}

// principalName is a principal without its realm, which the Kerberos configuration knows.
func principalName(p string) string {
	name, _, _ := strings.Cut(p, "@")
	return name
}
