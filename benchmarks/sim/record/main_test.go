package main

import (
	"strings"
	"testing"
	"time"

	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// TestConvert: reads of objects become lines; listings, HEADs, writes and failures do not.
func TestConvert(t *testing.T) {
	var b strings.Builder
	w, began := newWriter(&b), time.Now()
	at := began.Add(1500 * time.Millisecond)
	err := convert(w, "q1", began, []s3proxy.Entry{
		{Time: at, Method: "GET", Kind: s3proxy.Footer, Key: "t/a,b.parquet", Size: 100, Offset: 52, Length: 48},
		{Time: at, Method: "GET", Kind: s3proxy.Data, Key: "t/c", Size: 100, Length: 52},
		{Time: at, Method: "GET", Kind: s3proxy.Metadata, Key: "t/_delta_log/0.json", Size: 7, Length: 7},
		{Time: at, Method: "GET", Kind: s3proxy.Metadata, Key: "t/none", Status: 404},
		{Time: at, Method: "HEAD", Kind: s3proxy.Metadata, Key: "t/c", Length: 100},
		{Time: at, Method: "GET", Kind: s3proxy.List, Length: 10},
		{Time: at, Method: "PUT", Kind: s3proxy.Write, Key: "t/d", Length: 10},
	})
	w.Flush()
	const want = "ms,query,mount,path,size,offset,length,class\n1500,q1,lake,\"t/a,b.parquet\",100,52,48,footer\n1500,q1,lake,t/c,100,0,52,data\n1500,q1,lake,t/_delta_log/0.json,7,0,7,metadata\n"
	if err != nil || w.Error() != nil || b.String() != want {
		t.Errorf("%v, %v:\n%s", err, w.Error(), b.String())
	}
}
