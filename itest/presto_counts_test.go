package itest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/itest/harness/s3proxy"
)

// secondRules give what may change in tables below lake/second/ an age of one second: pointers, listings, and that something is not there. All else is believed as the
// built-in rules say.
const secondRules = `    - {path: "lake/second/**", answers: [listing, not_found], max_age: 1s}
    - {path: "lake/second/**/_last_checkpoint", answers: [object], max_age: 1s}
    - {path: "lake/second/**/hoodie.properties", answers: [object], max_age: 1s}
`

// counted runs a query over a table that is warm in the sidecar, but of which nothing is known that is younger than a second, and holds what it asks the store to at
// most pointers requests for each second that it takes, and no data.
func (s *prestoStage) counted(ctx context.Context, t *testing.T, text, catalog, schema string, want []string, pointers int) {
	t.Helper()
	for range 2 { // what is asked for the first time is asked as the engine asks
		s.rows(ctx, t, text, catalog, schema)
	}
	<-time.After(1100 * time.Millisecond)
	_, _, err := s.origin.Take(ctx)
	need(t, err)
	begun := time.Now()
	rows, err := s.presto.Query(ctx, harness.In(text, catalog, schema))
	took := time.Since(begun)
	need(t, err)
	asked, cost, err := s.origin.Take(ctx)
	need(t, err)
	same(t, catalog+" at a second", want, rows)
	t.Logf("  %s over %s, at a second: %v in %.1f s", catalog, schema, cost, took.Seconds())
	if limit := pointers * (1 + int(took/time.Second)); cost.Requests > limit || cost.DataGETs+cost.MetadataGETs > 0 {
		t.Errorf("%d requests in %.1f s, and %d were expected at most: %v\n%s", cost.Requests, took.Seconds(), limit, cost, requests(asked))
	}
}

// requests is a log in words, a request a line.
func requests(log []s3proxy.Entry) string {
	var b strings.Builder
	for _, e := range log {
		fmt.Fprintf(&b, "%s %s?%s %s: %d\n", e.Method, e.Key, e.Query, e.Range, e.Status)
	}
	return b.String()
}

// copyBelow copies all objects below a prefix of the store to another one.
func copyBelow(ctx context.Context, t *testing.T, store *harness.S3Server, from, to string) {
	t.Helper()
	c := store.Client()
	pages := awss3.NewListObjectsV2Paginator(c, &awss3.ListObjectsV2Input{Bucket: &store.Bucket, Prefix: &from})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		need(t, err)
		for _, o := range page.Contents {
			_, err := c.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: &store.Bucket, CopySource: aws.String(store.Bucket + "/" + *o.Key),
				Key: aws.String(to + strings.TrimPrefix(*o.Key, from))})
			need(t, err)
		}
	}
}
