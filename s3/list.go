package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/alio-lake/alio/origin"
)

// List asks for one page by ListObjectsV2, keys encoded: XML cannot carry every byte that a key can have. A page may hold fewer
// entries than were asked for and still have a next one.
func (o *Origin) List(ctx context.Context, req origin.ListRequest) (origin.Listing, error) {
	if req.MaxKeys < 0 {
		return origin.Listing{}, origin.NewError(origin.ErrInvalid, "list", req.Prefix, fmt.Errorf("MaxKeys %d is negative", req.MaxKeys))
	}
	in := &s3.ListObjectsV2Input{Bucket: aws.String(o.opts.Bucket), EncodingType: types.EncodingTypeUrl}
	if p := o.opts.Prefix + req.Prefix; p != "" {
		in.Prefix = aws.String(p)
	}
	if req.Delimiter != "" {
		in.Delimiter = aws.String(req.Delimiter)
	}
	if req.Token != "" {
		in.ContinuationToken = aws.String(req.Token)
	} else if req.StartAfter != "" {
		in.StartAfter = aws.String(o.opts.Prefix + req.StartAfter)
	}
	if req.RestoreStatus {
		in.OptionalObjectAttributes = []types.OptionalObjectAttributes{types.OptionalObjectAttributesRestoreStatus}
	}
	if req.MaxKeys > 0 {
		in.MaxKeys = aws.Int32(int32(min(req.MaxKeys, 1000))) // S3 answers no more than 1000
	}
	out, err := o.client.ListObjectsV2(ctx, in)
	if err != nil {
		return origin.Listing{}, o.fail(ctx, "list", req.Prefix, err)
	}
	l, err := o.listing(out)
	if err != nil {
		return origin.Listing{}, origin.NewError(origin.ErrUnavailable, "list", req.Prefix, o.named(err))
	}
	return l, nil
}

// listing is what an answer lists, below the mount's prefix.
func (o *Origin) listing(out *s3.ListObjectsV2Output) (origin.Listing, error) {
	var l origin.Listing
	decode := func(s *string) (string, error) {
		key := aws.ToString(s)
		if out.EncodingType == types.EncodingTypeUrl { // some servers do not know it, and then do not say it
			var err error
			if key, err = url.QueryUnescape(key); err != nil {
				return "", fmt.Errorf("the listing has a key that is not encoded as it says: %w", err)
			}
		}
		path, ok := strings.CutPrefix(key, o.opts.Prefix)
		if !ok {
			return "", fmt.Errorf("the listing has the key %q, which does not begin with %q", key, o.opts.Prefix)
		}
		return path, nil
	}
	for _, c := range out.Contents {
		path, err := decode(c.Key)
		if err != nil {
			return l, err
		}
		if path == "" {
			continue // the marker of the mount's own folder has no name below it
		}
		if c.Size == nil || *c.Size < 0 {
			return l, fmt.Errorf("the listing does not say the size of %q", path)
		}
		etag := aws.ToString(c.ETag)
		if e := canonical(etag); e != "" {
			etag = e
		}
		e := origin.Entry{Object: o.describe(path, etag, *c.Size, aws.ToTime(c.LastModified)), StorageClass: string(c.StorageClass)}
		if e.StorageClass == "" {
			e.StorageClass = string(types.ObjectStorageClassStandard)
		}
		if r := c.RestoreStatus; r != nil {
			e.Restore = &origin.Restore{InProgress: aws.ToBool(r.IsRestoreInProgress), Expires: aws.ToTime(r.RestoreExpiryDate)}
		}
		l.Entries = append(l.Entries, e)
	}
	for _, p := range out.CommonPrefixes {
		path, err := decode(p.Prefix)
		if err != nil {
			return l, err
		}
		l.CommonPrefixes = append(l.CommonPrefixes, path)
	}
	if aws.ToBool(out.IsTruncated) {
		if l.NextToken = aws.ToString(out.NextContinuationToken); l.NextToken == "" {
			return l, errors.New("the listing is cut short and does not say how it goes on")
		}
	}
	return l, nil
}
