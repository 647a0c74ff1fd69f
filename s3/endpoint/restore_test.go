package endpoint

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/alio-lake/alio/origin"
)

// archive is a fake of which every other object is archived: its listings tell how the restoration stands, if asked.
type archive struct{ *fake }

func (a archive) List(ctx context.Context, mount string, req origin.ListRequest) (origin.Listing, error) {
	l, err := a.fake.List(ctx, mount, req)
	for i := range l.Entries {
		if req.RestoreStatus && i%2 == 1 {
			l.Entries[i].StorageClass = "GLACIER"
			l.Entries[i].Restore = &origin.Restore{InProgress: i == 1, Expires: fakeTime.Add(time.Hour)}
		}
	}
	return l, err
}

// Trino asks every listing of a table for RestoreStatus. Such a listing is served here, with it: sent on to the origin it would confirm
// nothing.
func TestListingsTellTheRestoreStatus(t *testing.T) {
	f := newFake("lake")
	for _, k := range []string{"a", "b", "c", "d"} {
		f.put("lake", k, []byte("x"), nil)
	}
	o := signedOptions(f)
	o.Backend = archive{f}
	c := sdk(serve(t, o, false))
	list := func(attributes ...types.OptionalObjectAttributes) []types.Object {
		t.Helper()
		out, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("lake"), OptionalObjectAttributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return out.Contents
	}
	got := list(types.OptionalObjectAttributesRestoreStatus)
	if len(got) != 4 || got[0].RestoreStatus != nil || got[1].RestoreStatus == nil || got[1].StorageClass != "GLACIER" {
		t.Fatalf("listed %+v", got)
	}
	if r := got[1].RestoreStatus; !*r.IsRestoreInProgress || !r.RestoreExpiryDate.Equal(fakeTime.Add(time.Hour).Truncate(time.Millisecond)) {
		t.Errorf("restore status %v %v", *r.IsRestoreInProgress, r.RestoreExpiryDate)
	}
	if *got[3].RestoreStatus.IsRestoreInProgress {
		t.Error("the last one's restoration is not in progress")
	}
	if plain := list(); plain[1].RestoreStatus != nil {
		t.Error("a listing that did not ask tells it")
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d listings were sent on", n)
	}
	f.forward = func(string, string, *http.Request) (*http.Response, error) { return nil, origin.ErrUnavailable }
	if _, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("lake"), OptionalObjectAttributes: []types.OptionalObjectAttributes{"Unheard"}},
		func(o *s3.Options) { o.RetryMaxAttempts = 1 }); err == nil || len(f.requests()) == 0 {
		t.Errorf("an attribute that is not known was not sent on: %v", err)
	}
}
