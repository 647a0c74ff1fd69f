package endpoint

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/origin"
)

// expected folds the keys as S3 would, in one page.
func expected(keys []string, prefix, delimiter, after string) (names []string) {
	for _, key := range slices.Sorted(slices.Values(keys)) {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok || key <= after {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			key = prefix + rest[:i+len(delimiter)]
		}
		if len(names) == 0 || names[len(names)-1] != key {
			names = append(names, key)
		}
	}
	return names
}

var listCases = []struct{ prefix, delimiter, after string }{
	{"", "", ""}, {"", "/", ""}, {"t/", "/", ""}, {"t/", "", "t/a/2"}, {"t/", "/", "t/b"}, {"t/a", "--", ""}, {"", "a", ""}, {"none", "/", ""}, {"odd/", "", ""}, {"odd/", "/", ""},
}

func listFake() (*fake, []string) {
	f := newFake("lake")
	for i := range 7 {
		for _, dir := range []string{"t/a", "t/b", "t/c/d", "u"} {
			f.put("lake", fmt.Sprintf("%s/%d", dir, i), []byte("x"), nil)
		}
		f.put("lake", fmt.Sprintf("t/a--%d--", i), nil, nil)
	}
	for _, k := range oddKeys[:len(oddKeys)-1] {
		if !strings.ContainsAny(k, "\t") { // XML 1.0 readers turn a raw control character down
			f.put("lake", "odd/"+k, nil, nil)
		}
	}
	return f, slices.Collect(maps.Keys(f.mounts["lake"]))
}

// TestPaginators walks both listings with the SDK, at every page size, and compares with one page.
func TestPaginators(t *testing.T) {
	f, keys := listFake()
	c := sdk(serve(t, signedOptions(f), false))
	for _, lc := range listCases {
		want := expected(keys, lc.prefix, lc.delimiter, lc.after)
		for _, size := range []int32{1, 2, 3, 5, 1000, 2000000000} {
			var got []string
			pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String("lake"), Prefix: &lc.prefix, Delimiter: &lc.delimiter,
				StartAfter: &lc.after, MaxKeys: &size, FetchOwner: aws.Bool(true)})
			for pages.HasMorePages() {
				page, err := pages.NextPage(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, o := range page.Contents {
					if names = append(names, *o.Key); !o.LastModified.Equal(fakeTime) || o.StorageClass != "STANDARD" || !strings.HasPrefix(*o.ETag, `"`) {
						t.Fatalf("%+v", o)
					}
				}
				for _, p := range page.CommonPrefixes {
					names = append(names, *p.Prefix)
				}
				if *page.KeyCount != int32(len(names)) || *page.MaxKeys != min(size, 1000) || len(names) > int(size) {
					t.Fatalf("%+v", page)
				}
				slices.Sort(names)
				got = append(got, names...)
			}
			if !slices.Equal(got, want) {
				t.Errorf("v2 %+v, pages of %d:\n got %q\nwant %q", lc, size, got, want)
			}
			if got := listV1(t, c, lc.prefix, lc.delimiter, lc.after, size); !slices.Equal(got, want) {
				t.Errorf("v1 %+v, pages of %d:\n got %q\nwant %q", lc, size, got, want)
			}
		}
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d listings went to the origin", n)
	}
}

// listV1 pages as the API reference says: by NextMarker where there is a delimiter, else by the last key.
func listV1(t *testing.T, c *s3.Client, prefix, delimiter, marker string, size int32) (got []string) {
	for range 1000 {
		page, err := c.ListObjects(context.Background(), &s3.ListObjectsInput{Bucket: aws.String("lake"), Prefix: &prefix, Delimiter: &delimiter, Marker: &marker, MaxKeys: &size})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, o := range page.Contents {
			names = append(names, *o.Key)
		}
		last := ""
		if n := len(names); n > 0 {
			last = names[n-1]
		}
		for _, p := range page.CommonPrefixes {
			names = append(names, *p.Prefix)
		}
		slices.Sort(names)
		got = append(got, names...)
		if !*page.IsTruncated {
			if page.NextMarker != nil {
				t.Fatalf("the last page has a NextMarker %q", *page.NextMarker)
			}
			return got
		}
		if (page.NextMarker != nil) != (delimiter != "") {
			t.Fatalf("delimiter %q, NextMarker %v", delimiter, page.NextMarker)
		}
		if marker = last; page.NextMarker != nil {
			marker = *page.NextMarker
		}
	}
	t.Fatalf("no end: at %q", marker)
	return nil
}

type listResult struct {
	Name, Prefix, Delimiter, Marker, NextMarker, StartAfter, EncodingType, ContinuationToken, NextContinuationToken string
	MaxKeys                                                                                                         int
	KeyCount                                                                                                        *int
	IsTruncated                                                                                                     bool
	Contents                                                                                                        []struct{ Key, ETag string }
	CommonPrefixes                                                                                                  []struct{ Prefix string }
}

func listRaw(t *testing.T, h *Handler, target string) listResult {
	t.Helper()
	w := do(h, "GET", target)
	var res listResult
	if err := xml.Unmarshal(w.Body.Bytes(), &res); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %v %s", target, w.Code, err, w.Body)
	}
	return res
}

// TestEncodingType: decoded as either convention decodes, every name is the key.
func TestEncodingType(t *testing.T) {
	f, _ := listFake()
	h := newHandler(t, Options{Backend: f})
	for key := range f.mounts["lake"] {
		for _, target := range []string{"/lake?list-type=2&encoding-type=url&prefix=", "/lake?encoding-type=url&prefix="} {
			res := listRaw(t, h, target+url.QueryEscape(key))
			if len(res.Contents) == 0 || res.EncodingType != "url" {
				t.Fatalf("%q: %+v", key, res)
			}
			asPath, _ := url.PathUnescape(res.Contents[0].Key)
			asQuery, _ := url.QueryUnescape(res.Contents[0].Key)
			prefix, _ := url.QueryUnescape(res.Prefix)
			if asPath != key || asQuery != key || prefix != key {
				t.Errorf("%q listed as %q", key, res.Contents[0].Key)
			}
		}
	}
	res := listRaw(t, h, "/lake?list-type=2&encoding-type=url&prefix=odd/&delimiter=%2B&start-after=odd/%20")
	if res.Delimiter != "%2B" || res.StartAfter != "odd/%20" || len(res.CommonPrefixes) != 1 || res.CommonPrefixes[0].Prefix != "odd/plus%2B" {
		t.Errorf("%+v", res)
	}
}

// TestControlCharactersStayThemselves: without encoding-type they are character references, never another key.
func TestControlCharactersStayThemselves(t *testing.T) {
	f := newFake("lake")
	f.put("lake", "a\x01b\tc\uFFFEd", nil, nil)
	w := do(newHandler(t, Options{Backend: f}), "GET", "/lake")
	if !strings.Contains(w.Body.String(), "<Key>a&#x1;b&#x9;c&#xFFFE;d</Key>") {
		t.Error(w.Body)
	}
}

func TestListArguments(t *testing.T) {
	f, _ := listFake()
	h := newHandler(t, Options{Backend: f})
	for _, c := range []struct {
		target string
		status int
		want   string
	}{
		{"/lake?max-keys=-1", 400, "between 0 and"}, {"/lake?max-keys=x", 400, "integer"}, {"/lake?max-keys=2147483648", 400, "integer"},
		{"/lake?encoding-type=base64", 400, "Encoding Method"}, {"/lake?prefix=a&prefix=b", 400, "given twice"},
		{"/lake?list-type=2&continuation-token=", 400, "continuation token"}, {"/lake?list-type=2&continuation-token=abc", 400, "continuation token"},
		{"/lake?list-type=2&max-keys=0", 200, "<MaxKeys>0</MaxKeys><IsTruncated>false<"}, {"/pond?list-type=2&max-keys=0", 404, "NoSuchBucket"},
		{"/pond", 404, "there are: lake"}, {"/lake?prefix=%zz", 400, "InvalidURI"}, {"/lake/%zz", 400, "InvalidURI"}, {"/lake/%ff", 400, "InvalidURI"},
	} {
		w := do(h, "GET", c.target)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s", c.target, w.Code, w.Body)
		}
	}
	// A token belongs to one listing, and survives the handler that made it.
	first := listRaw(t, h, "/lake?list-type=2&max-keys=2&prefix=t/")
	again := newHandler(t, Options{Backend: f})
	tok := url.QueryEscape(first.NextContinuationToken)
	if next := listRaw(t, again, "/lake?list-type=2&max-keys=2&prefix=t/&continuation-token="+tok); next.Contents[0].Key <= first.Contents[1].Key || next.ContinuationToken != first.NextContinuationToken {
		t.Errorf("%+v", next)
	}
	for _, bad := range []string{"/lake?list-type=2&prefix=u/&continuation-token=" + tok, "/lake?list-type=2&prefix=t/&continuation-token=" + tok[:len(tok)-3]} {
		if w := do(again, "GET", bad); w.Code != 400 {
			t.Errorf("%s: %d %s", bad, w.Code, w.Body)
		}
	}
}

// sparse answers empty pages before what there is.
type sparse struct{ *fake }

func (s sparse) List(ctx context.Context, mount string, req origin.ListRequest) (origin.Listing, error) {
	if len(req.Token) < 3 {
		return origin.Listing{NextToken: req.Token + "x"}, nil
	}
	return origin.Listing{Entries: []origin.Entry{{Object: origin.Object{Path: "k"}}}}, nil
}

func TestVersion1SkipsEmptyPages(t *testing.T) {
	h := newHandler(t, Options{Backend: sparse{newFake("lake")}})
	if res := listRaw(t, h, "/lake"); len(res.Contents) != 1 || res.IsTruncated {
		t.Errorf("%+v", res)
	}
	if res := listRaw(t, h, "/lake?list-type=2"); len(res.Contents) != 0 || !res.IsTruncated {
		t.Errorf("%+v", res)
	}
}
