package itest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/alio-lake/alio/hdfs"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/origin/origintest"
)

// everyProtection asks for what takes longer than CI has: each protection, and the conformance suite under each.
func everyProtection() bool { return os.Getenv("ALIO_KERBEROS") == "all" }

// protections are the settings of a secured cluster that TestHDFSKerberos starts, each a cluster of its own.
func protections() []harness.HDFSOptions {
	const authentication, integrity, privacy, every = "authentication", "integrity", "privacy", "authentication,integrity,privacy"
	all := []harness.HDFSOptions{{RPCProtection: authentication, DataProtection: authentication}, {RPCProtection: privacy, DataProtection: privacy, AES: true}}
	if everyProtection() {
		all = append(all, []harness.HDFSOptions{
			{RPCProtection: integrity, DataProtection: authentication},
			{RPCProtection: every, DataProtection: every, AES: true},
			{RPCProtection: privacy, DataProtection: integrity},
			{RPCProtection: authentication, DataProtection: privacy},
		}...)
	}
	return all
}

// unreadable reports a protection of data that the HDFS library cannot read.
func unreadable(o harness.HDFSOptions) bool {
	return o.DataProtection == "integrity" || o.DataProtection == "privacy" && !o.AES
}

// Against servers that ask for tickets of a real KDC, files are written, listed, and read at their version, by a keytab and by a credential cache.
func TestHDFSKerberos(t *testing.T) {
	for i, o := range protections() {
		o.Kerberos, o.BlockSize = true, 1<<16
		name := strings.ReplaceAll("rpc "+o.RPCProtection+" data "+o.DataProtection, ",", "+") // Hadoop takes a folder with a comma for two
		t.Run(name, func(t *testing.T) {
			k := kerberos{newLake(harness.NewHDFS(t, o))}
			if unreadable(o) {
				k.refusesData(t)
				return
			}
			t.Run("keytab", func(t *testing.T) { k.works(t, k.origin(t, k.keytab)) })
			t.Run("service by host", func(t *testing.T) { k.works(t, k.origin(t, k.keytab, k.byHost)) })
			t.Run("credential cache", k.followsCache)
			if everyProtection() {
				t.Run("conformance", func(t *testing.T) {
					origintest.Run(t, func(t *testing.T) origintest.Fixture {
						l := kerberos{newLake(k.HDFS)}
						return l.fixture(l.origin(t, l.keytab))
					})
				})
			}
			if i > 0 {
				return
			}
			t.Run("refused", k.refuses)
			t.Run("expired", k.expires)
			t.Run("renewed", k.renews)
			t.Run("half a cache", k.keepsTicket)
			t.Run("doors", kerberos{newLake(k.HDFS)}.testCredentialsAtDoors)
		})
	}
}

// kerberos is a lake of a secured file system.
type kerberos struct{ lake }

func (k kerberos) keytab(o *hdfs.Options) {
	o.User, o.KerberosConf, o.Principal, o.Keytab = "", k.Krb5Conf, k.Principal, k.Keytab
}

func (k kerberos) cache(path string) func(*hdfs.Options) {
	return func(o *hdfs.Options) { o.User, o.KerberosConf, o.CredentialCache = "", k.Krb5Conf, path }
}

// byHost names the NameNode by a host name, which its principal has.
func (k kerberos) byHost(o *hdfs.Options) {
	o.URI = strings.Replace(o.URI, "127.0.0.1", "localhost", 1)
	o.ServicePrincipal = "hdfs/_HOST@" + harness.KDCRealm
}

func (k kerberos) ticket(t *testing.T, name, keytab, principal string, life time.Duration) string {
	t.Helper()
	path, err := k.KDC.Ticket(t.Context(), name, keytab, principal, life)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// works writes by Hadoop's client and by the origin, and reads each other's files.
func (k kerberos) works(t *testing.T, o *hdfs.Origin) {
	theirs := pattern(1, 0, 150_000)
	k.put(t, "theirs", theirs)
	if obj := stat(t, o, "theirs"); obj.Size != 150_000 || len(obj.Parts) != 3 {
		t.Errorf("a file of three blocks: %+v", obj)
	} else {
		wantBytes(t, o, obj, theirs)
	}
	ours := pattern(2, 0, 140_001)
	put, err := o.Put(t.Context(), "ours/f", bytes.NewReader(ours), int64(len(ours)), origin.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if obj := stat(t, o, "ours/f"); obj.Version != put.Version {
		t.Errorf("written %+v, found %+v", put, obj)
	}
	if _, got, err := readAll(o, origin.ReadRequest{Path: "ours/f", Version: put.Version, Offset: 60_000, Length: 10_000}); err != nil || !bytes.Equal(got, ours[60_000:70_000]) {
		t.Errorf("a range over two blocks: %d bytes, %v", len(got), err)
	}
	got, err := base64.StdEncoding.DecodeString(k.do(t, "read %s 0 140001", k.at("ours/f")))
	if err != nil || !bytes.Equal(got, ours) {
		t.Errorf("Hadoop's client read %d bytes, %v", len(got), err)
	}
	var names []string
	page, err := o.List(t.Context(), origin.ListRequest{})
	for _, e := range page.Entries {
		names = append(names, e.Path)
	}
	if err != nil || strings.Join(names, " ") != "ours/f theirs" {
		t.Errorf("listed %v, %v", names, err)
	}
	if err := o.Delete(t.Context(), "ours/f"); err != nil {
		t.Error(err)
	}
	// A write that fails in the middle of a block leaves nothing, and no goroutine of the library's (TestMain looks).
	broken := io.MultiReader(bytes.NewReader(ours[:100_000]), iotest.ErrReader(errors.New("the sender is gone")))
	if _, err := o.Put(t.Context(), "broken", broken, int64(len(ours)), origin.PutOptions{}); !errors.Is(err, origin.ErrInvalid) {
		t.Errorf("a body that breaks off: %v", err)
	}
	if _, err := o.Stat(t.Context(), "broken"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("after it: %v", err)
	}
}

// followsCache reads with a cache of kinit's, and as another user once kinit has put that user's ticket there.
func (k kerberos) followsCache(t *testing.T) {
	path := k.ticket(t, "user", k.Keytab, k.Principal, time.Hour)
	k.works(t, k.origin(t, k.cache(path)))
	o := k.origin(t, k.cache(path))
	k.put(t, "theirs", pattern(1, 0, 1000))
	stat(t, o, "theirs")
	other := "other@" + harness.KDCRealm
	keytab, err := k.KDC.Keytab(t.Context(), "other", other)
	if err != nil {
		t.Fatal(err)
	}
	k.ticket(t, "user", keytab, other, time.Hour)
	k.restart(t) // the connection at hand is gone
	if _, err := o.Put(t.Context(), "by/other", strings.NewReader("x"), 1, origin.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if owner := k.do(t, "owner %s", k.at("by/other")); owner != "other" {
		t.Errorf("after kinit of another user, files are written by %s", owner)
	}
}

// restart restarts the NameNode and waits until Hadoop's client, which has lost its connection too, has another.
func (k kerberos) restart(t *testing.T) {
	t.Helper()
	k.do(t, "namenode restart 0")
	until(t, "the NameNode answers", func() bool {
		_, err := k.Do(t.Context(), "mkdir "+k.dir)
		return err == nil
	})
}

// refused checks an error of a kind, whose text says each of the words.
func refused(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if err == nil {
		t.Error("it worked")
		return
	}
	t.Log(err)
	if !errors.Is(err, kind) {
		t.Errorf("want %v", kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the text does not say %q", w)
		}
	}
}

// refuses goes through credentials that cannot work.
func (k kerberos) refuses(t *testing.T) {
	stale := "stale@" + harness.KDCRealm
	keytab, err := k.KDC.Keytab(t.Context(), "stale", stale)
	if err == nil {
		err = k.KDC.Rekey(t.Context(), stale)
	}
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(t.TempDir(), "krb5.conf")
	conf, err := os.ReadFile(k.Krb5Conf)
	if err == nil {
		err = os.WriteFile(dead, bytes.Replace(conf, []byte("kdc = 127.0.0.1"), []byte("kdc = 127.0.0.2"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	denied, unavailable := origin.ErrDenied, origin.ErrUnavailable
	for _, c := range []struct {
		name   string
		change func(*hdfs.Options)
		kind   error
		words  []string
	}{
		{"a keytab of an old key", func(o *hdfs.Options) { o.Principal, o.Keytab = stale, keytab }, denied, []string{stale, keytab, "make the keytab again"}},
		{"another's keytab", func(o *hdfs.Options) { o.Principal = stale }, denied, []string{stale, k.Keytab, "klist -k"}},
		{"an unknown user", func(o *hdfs.Options) { o.Principal = "nobody@" + harness.KDCRealm }, denied, []string{"nobody@", "klist -k"}},
		{"no keytab", func(o *hdfs.Options) { o.Keytab += ".not" }, denied, []string{k.Keytab + ".not", "no such file"}},
		{"no ticket", func(o *hdfs.Options) {
			k.cache(k.Dir + "/none")(o)
			o.Principal, o.Keytab = "", ""
		}, denied, []string{k.Dir + "/none", "kinit"}},
		{"an unknown service", func(o *hdfs.Options) { o.ServicePrincipal = "nn/localhost@" + harness.KDCRealm }, denied, []string{"nn/localhost", "dfs.namenode.kerberos.principal"}},
		{"another service", func(o *hdfs.Options) { o.ServicePrincipal = "HTTP/localhost@" + harness.KDCRealm }, denied, []string{"HTTP/localhost", "dfs.namenode.kerberos.principal"}},
		{"no KDC", func(o *hdfs.Options) { o.KerberosConf = dead }, unavailable, []string{"KDC", dead}},
		{"no Kerberos", func(o *hdfs.Options) { o.ConfDir, o.Principal, o.Keytab = simpleConf(t, k.NameNodes[0]), "", "" }, denied, []string{"SIMPLE", "hadoop.security.authentication"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := k.origin(t, k.keytab, c.change)
			_, err := o.Stat(t.Context(), "theirs")
			refused(t, err, c.kind, c.words...)
			_, err = o.Put(t.Context(), "new", strings.NewReader("x"), 1, origin.PutOptions{})
			refused(t, err, c.kind, c.words...)
		})
	}
}

// simpleConf is a Hadoop configuration that does not ask for Kerberos.
func simpleConf(t *testing.T, nameNode string) string {
	t.Helper()
	dir := t.TempDir()
	text := "<configuration><property><name>fs.defaultFS</name><value>hdfs://" + nameNode + "</value></property></configuration>"
	if err := os.WriteFile(filepath.Join(dir, "core-site.xml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// until repeats f until it says that it is done.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not after 30 s", what)
		case <-tick.C:
		}
	}
}

// refusesData reads and writes where data is signed or encrypted in a way that the library cannot read.
func (k kerberos) refusesData(t *testing.T) {
	o := k.origin(t, k.keytab)
	k.put(t, "theirs", pattern(1, 0, 1000))
	obj := stat(t, o, "theirs")
	_, _, err := readAll(o, origin.ReadRequest{Path: obj.Path, Version: obj.Version, Length: origin.WholeRange})
	refused(t, err, origin.ErrUnsupported, "DIGEST-MD5", "dfs.encrypt.data.transfer.cipher.suites")
	_, err = o.Put(t.Context(), "new", strings.NewReader("x"), 1, origin.PutOptions{})
	refused(t, err, origin.ErrUnsupported, "DIGEST-MD5", "dfs.encrypt.data.transfer.cipher.suites")
	if _, err := o.Stat(t.Context(), "new"); !errors.Is(err, origin.ErrNotFound) {
		t.Errorf("the failed Put left %v", err)
	}
}

// expires uses a ticket that runs out and that nobody renews.
func (k kerberos) expires(t *testing.T) {
	path := k.ticket(t, "short", k.Keytab, k.Principal, 3*time.Second)
	k.put(t, "theirs", pattern(1, 0, 1000))
	connected := k.origin(t, k.cache(path))
	stat(t, connected, "theirs")
	var last error
	until(t, "the ticket expires", func() bool {
		o := k.origin(t, k.cache(path))
		_, last = o.Stat(t.Context(), "theirs")
		return last != nil
	})
	refused(t, last, origin.ErrDenied, path, "kinit")
	stat(t, connected, "theirs") // a connection outlives the ticket that it was made with
	k.ticket(t, "short", k.Keytab, k.Principal, time.Hour)
	wantBytes(t, connected, stat(t, connected, "theirs"), pattern(1, 0, 1000))
}

// keepsTicket finds the cache or the keytab cut off, as while it is being written: the ticket at hand goes on, and whoever has none is told of the file.
func (k kerberos) keepsTicket(t *testing.T) {
	cache, keytab := k.ticket(t, "half", k.Keytab, k.Principal, time.Hour), filepath.Join(t.TempDir(), "half.keytab")
	byKeytab := func(o *hdfs.Options) {
		k.keytab(o)
		o.Keytab = keytab
	}
	cut := func(from, to string) {
		whole, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, whole[:len(whole)/2], 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(k.Keytab, keytab); err != nil {
		t.Fatal(err)
	}
	k.put(t, "theirs", pattern(1, 0, 1000))
	followed, loggedIn := k.origin(t, k.cache(cache)), k.origin(t, byKeytab)
	stat(t, followed, "theirs")
	stat(t, loggedIn, "theirs")
	if err := os.Remove(keytab); err != nil {
		t.Fatal(err)
	}
	cut(cache, cache)
	cut(k.Keytab, keytab)
	k.restart(t)
	wantBytes(t, followed, stat(t, followed, "theirs"), pattern(1, 0, 1000))
	wantBytes(t, loggedIn, stat(t, loggedIn, "theirs"), pattern(1, 0, 1000))
	_, err := k.origin(t, k.cache(cache)).Stat(t.Context(), "theirs")
	refused(t, err, origin.ErrDenied, cache, "kinit")
	_, err = k.origin(t, byKeytab).Stat(t.Context(), "theirs")
	refused(t, err, origin.ErrDenied, keytab, "make the keytab again")
}

// renews logs in by keytabs whose tickets last for seconds: new connections are made with new tickets, also where the key and with it the keytab has
// been changed meanwhile.
func (k kerberos) renews(t *testing.T) {
	brief, keytab, o := k.brief(t, "brief")
	changing, _, changed := k.brief(t, "changing")
	path := k.ticket(t, "brief", keytab, brief, time.Hour) // which the KDC makes shorter
	k.put(t, "theirs", pattern(1, 0, 1000))
	stat(t, o, "theirs")
	stat(t, changed, "theirs")
	until(t, "the tickets expire", func() bool {
		_, err := k.origin(t, k.cache(path)).Stat(t.Context(), "theirs")
		return err != nil
	})
	// By now it is another second than that of the key before: of keys of one second the Kerberos library takes the first.
	err := k.KDC.Rekey(t.Context(), changing)
	if err == nil {
		_, err = k.KDC.Keytab(t.Context(), "changing", changing)
	}
	if err != nil {
		t.Fatal(err)
	}
	k.restart(t)
	wantBytes(t, o, stat(t, o, "theirs"), pattern(1, 0, 1000))
	wantBytes(t, changed, stat(t, changed, "theirs"), pattern(1, 0, 1000))
}

// brief is a principal whose tickets last three seconds, with its keytab and an origin that uses it.
func (k kerberos) brief(t *testing.T, name string) (principal, keytab string, o *hdfs.Origin) {
	t.Helper()
	principal = name + "@" + harness.KDCRealm
	keytab, err := k.KDC.Keytab(t.Context(), name, principal)
	if err == nil {
		err = k.KDC.Limit(t.Context(), principal, 3*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	return principal, keytab, k.origin(t, k.keytab, func(o *hdfs.Options) { o.Principal, o.Keytab, o.ClientIdle = principal, keytab, 100*time.Millisecond })
}
