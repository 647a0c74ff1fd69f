package hdfs

import (
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

// credentials log in by a keytab, or follow a credential cache that something else (kinit, k5start) renews.
type credentials struct {
	user, realm   string
	keytab, cache string // one of them
	conf          *config.Config

	mu      sync.Mutex
	current *krb.Client
	changed time.Time // modification time of the cache that current came from
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
	c := &credentials{conf: conf, keytab: o.Keytab, cache: o.CredentialCache}
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
	cache, err := loadCache(c.cache)
	if err != nil {
		return nil, err
	}
	cl, err := krb.NewFromCCache(cache, c.conf, krb.DisablePAFXFAST(true))
	if err != nil {
		return nil, fmt.Errorf("the Kerberos tickets in %s cannot be used: run kinit again: %w", c.cache, err)
	}
	c.current, c.changed = cl, info.ModTime()
	return cl, nil
}

func (c *credentials) fromKeytab() (*krb.Client, error) {
	if c.current == nil {
		kt, err := keytab.Load(c.keytab)
		if err != nil {
			return nil, fmt.Errorf("the keytab %s cannot be read: %w", c.keytab, err)
		}
		c.current = krb.NewWithKeytab(c.user, c.realm, kt, c.conf, krb.DisablePAFXFAST(true))
	}
	if err := c.current.AffirmLogin(); err != nil {
		return nil, fmt.Errorf("%s@%s cannot log in to Kerberos with the keytab %s: %w", c.user, c.realm, c.keytab, err)
	}
	return c.current, nil
}

// name is who logs in, as far as that is known without asking.
func (c *credentials) name() string {
	if c.keytab != "" {
		return c.user + "@" + c.realm
	}
	return "the owner of " + c.cache
}

// close ends the renewal of tickets.
func (c *credentials) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.Destroy()
		c.current = nil
	}
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
