package hdfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// Of a keytab that is cut off anywhere the error names the file, and holds nothing of what is in it.
func TestBrokenKeytab(t *testing.T) {
	k := keytab.New()
	if err := k.AddEntry("alio", "ALIO.TEST", "password", time.Unix(1e9, 0), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	whole, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := &credentials{keytab: filepath.Join(t.TempDir(), "keytab")}
	const head = 6 // the version and the first entry's length
	for n := head + 1; n < len(whole); n++ {
		if err := os.WriteFile(c.keytab, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := c.client()
		if err == nil || !strings.Contains(err.Error(), c.keytab+" cannot be used") || strings.Contains(err.Error(), string(whole[head:n])) {
			t.Errorf("the first %d bytes of %d: %q", n, len(whole), err)
		}
	}
}
