package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/alio-lake/alio/internal/outbound"
	"github.com/alio-lake/alio/origin"
)

// contentType is what is written of an object whose type nobody told.
const contentType = "application/octet-stream"

// Put writes an object in one streamed request, which nothing repeats, and answers the generation that it made. It is not the client's
// Writer, since that sends the closing boundary of its multipart body also after its source has failed, and the emulator was seen to take such a
// body for a whole object. Here the end of the body is the end of the request's only chunked stream, and a source that fails, or holds another number
// of bytes than size, never comes to it.
func (o *Origin) Put(ctx context.Context, path string, body io.Reader, size int64, opts origin.PutOptions) (origin.Object, error) {
	if _, err := o.object("put", path); err != nil {
		return origin.Object{}, err
	}
	inner, x := exchanging(ctx, true)
	inner, cancel := context.WithCancel(inner)
	defer cancel()
	source := &source{r: body, size: size}
	sending := outbound.Send(source, o.opts.StallTimeout, cancel)
	defer sending.End()
	query := url.Values{"uploadType": {"media"}, "name": {o.opts.Prefix + path}}
	if o.opts.UserProject != "" {
		query.Set("userProject", o.opts.UserProject)
	}
	if opts.IfAbsent {
		query.Set("ifGenerationMatch", "0") // no object: what Cloud Storage compares with the name's generation as it sets a new one
	}
	req, err := http.NewRequestWithContext(inner, http.MethodPost, o.opts.Endpoint+"/upload/storage/v1/b/"+url.PathEscape(o.opts.Bucket)+"/o?"+query.Encode(), sending)
	if err != nil {
		return origin.Object{}, origin.NewError(origin.ErrInvalid, "put", path, o.named(err))
	}
	req.ContentLength = -1 // in chunks even if the size is known: a body that is too long must not end with its last announced byte
	req.Header.Set("Content-Type", contentType)
	resp, err := o.sender.Do(req)
	if err == nil {
		defer resp.Body.Close()
	}
	switch {
	case source.failed() != nil && ctx.Err() == nil:
		return origin.Object{}, origin.NewError(origin.ErrInvalid, "put", path, fmt.Errorf("nothing was written: %w", source.failed()))
	case err != nil && sending.Stalled():
		return origin.Object{}, o.broke(ctx, "put", path, fmt.Errorf("%w: no byte was taken for %v", outbound.ErrStalled, o.opts.StallTimeout))
	case err != nil:
		return origin.Object{}, o.fail(ctx, "put", path, x, err)
	case resp.StatusCode >= 300:
		return origin.Object{}, o.fail(ctx, "put", path, x, errors.New(resp.Status))
	}
	obj, err := o.written(path, resp.Body, source)
	if err != nil {
		return origin.Object{}, o.fail(ctx, "put", path, x, err)
	}
	return obj, nil
}

// written is what the answer to a Put tells, if it is of what was sent.
func (o *Origin) written(path string, answer io.Reader, sent *source) (origin.Object, error) {
	var a struct {
		Generation int64     `json:"generation,string"`
		Size       int64     `json:"size,string"`
		CRC32C     string    `json:"crc32c"`
		Updated    time.Time `json:"updated"`
	}
	if err := json.NewDecoder(answer).Decode(&a); err != nil {
		return origin.Object{}, err
	}
	if n, sum := sent.sent(); a.Size != n || a.CRC32C != sum {
		return origin.Object{}, fmt.Errorf("%d bytes with the sum %s were sent, the server has %d with %s: write it again", n, sum, a.Size, a.CRC32C)
	}
	obj := o.describe(path, a.Generation, a.Size, a.Updated)
	obj.Attributes = map[string]string{"Content-Type": contentType}
	return obj, nil
}

// Delete removes the object's present generation; a bucket with versions keeps it as an old one.
func (o *Origin) Delete(ctx context.Context, path string) error {
	handle, err := o.object("delete", path)
	if err != nil {
		return err
	}
	inner, x := exchanging(ctx, false)
	if err := handle.Delete(inner); err != nil {
		if e := o.fail(ctx, "delete", path, x, err); e.Kind != origin.ErrNotFound || noBucket("delete", e.Kind, e.Error()) {
			return e
		}
	}
	return nil
}
