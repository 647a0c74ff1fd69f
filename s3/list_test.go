package s3

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/alio-lake/alio/origin"
)

// listAnswer serves one answer to every list.
func listAnswer(t *testing.T, inner string) *Origin {
	t.Helper()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`+inner+`</ListBucketResult>`)
	})
	return at(t, server.URL, func(o *Options) { o.Prefix = "p q" })
}

func entry(key, etag, size string) string {
	return fmt.Sprintf("<Contents><Key>%s</Key><LastModified>2024-05-01T12:00:00.000Z</LastModified><ETag>%s</ETag>%s</Contents>", key, etag, size)
}

func TestListings(t *testing.T) {
	for _, c := range []struct {
		name, inner string
		want        string // paths, versions and prefixes, or a part of the error
		bad         bool
	}{
		{"encoded", "<EncodingType>url</EncodingType>" + entry("p+q/a+b%2Bc%2541", "&quot;e&quot;", "<Size>7</Size>") + "<CommonPrefixes><Prefix>p+q/d%2F</Prefix></CommonPrefixes>",
			`[a b+c%41 "e"/7 STANDARD] [d/]`, false},
		{"the server does not encode", entry("p q/a+b%41", "&quot;e&quot;", "<Size>7</Size>"), `[a+b%41 "e"/7 STANDARD] []`, false},
		{"ETags without quotes", entry("p q/a", "e", "<Size>7</Size>"), `[a "e"/7 STANDARD] []`, false},
		{"no ETag", entry("p q/a", "", "<Size>7</Size>"), `[a  STANDARD] []`, false},
		{"the folder's own marker", entry("p q/", "e", "<Size>0</Size>") + entry("p q/a", "e", "<Size>7</Size>"), `[a "e"/7 STANDARD] []`, false},
		{"a storage class", entry("p q/a", "e", "<Size>7</Size><StorageClass>GLACIER</StorageClass>"), `[a "e"/7 GLACIER] []`, false},
		{"outside the prefix", entry("other/a", "e", "<Size>7</Size>"), `"other/a"`, true},
		{"no size", entry("p q/a", "e", ""), "size", true},
		{"badly encoded", "<EncodingType>url</EncodingType>" + entry("p+q/%zz", "e", "<Size>7</Size>"), "encoded", true},
		{"cut short without a token", "<IsTruncated>true</IsTruncated>" + entry("p q/a", "e", "<Size>7</Size>"), "cut short", true},
		{"no XML", "<Contents", "cannot be read", true},
	} {
		l, err := listAnswer(t, c.inner).List(t.Context(), origin.ListRequest{})
		if c.bad {
			if origin.Kind(err) != origin.ErrUnavailable || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want ErrUnavailable that speaks of %s", c.name, err, c.want)
			}
			continue
		}
		var got []string
		for _, e := range l.Entries {
			got = append(got, fmt.Sprintf("%s %s %s", e.Path, e.Version, e.StorageClass))
			if e.Attributes != nil || len(e.Parts) > 0 && !strings.HasPrefix(e.Parts[0].ID, listAnswer(t, "").ID()[:10]) {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
		if s := fmt.Sprintf("%v %v", got, l.CommonPrefixes); err != nil || s != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, s, err, c.want)
		}
	}
}
