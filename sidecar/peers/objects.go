package peers

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	apiv1 "github.com/alio-lake/alio/api/v1"
	"github.com/alio-lake/alio/origin"
	"github.com/alio-lake/alio/sidecar"
	"github.com/alio-lake/alio/sidecar/freshness"
)

// agesAgo is when an answer was sent for that is of a time before the sidecar started: it is believed only where answers never grow too old.
const agesAgo = 100 * 365 * 24 * time.Hour

func place(p sidecar.Place) *apiv1.Place {
	return &apiv1.Place{Mount: p.Mount, Space: []byte(p.Space)}
}

func placeOf(p *apiv1.Place) sidecar.Place {
	return sidecar.Place{Mount: p.GetMount(), Space: string(p.GetSpace())}
}

// speakable tells whether texts can be put on the wire: protobuf's are UTF-8. What cannot is not asked for, nor told.
func speakable(texts ...string) bool {
	for _, t := range texts {
		if !utf8.ValidString(t) {
			return false
		}
	}
	return true
}

func speakableObject(o *origin.Object) bool {
	ok := speakable(o.Path, string(o.Version), o.ETag)
	for _, p := range o.Parts {
		ok = ok && speakable(p.ID)
	}
	for k, v := range o.Attributes {
		ok = ok && speakable(k, v)
	}
	return ok
}

func speakableListing(req origin.ListRequest, l *origin.Listing) bool {
	ok := speakable(req.Prefix, req.Delimiter, req.StartAfter, req.Token, l.NextToken) && speakable(l.CommonPrefixes...)
	for i := range l.Entries {
		ok = ok && speakableObject(&l.Entries[i].Object) && speakable(l.Entries[i].StorageClass)
	}
	return ok
}

// known puts an object on the wire.
func known(path string, o *origin.Object) *apiv1.KnownObject {
	k := &apiv1.KnownObject{Path: path, Version: string(o.Version), Etag: o.ETag, Size: o.Size, Attributes: o.Attributes, HasAttributes: o.Attributes != nil}
	if !o.ModTime.IsZero() {
		k.Modified, k.ModifiedS, k.ModifiedNs = true, o.ModTime.Unix(), int32(o.ModTime.Nanosecond())
	}
	for _, p := range o.Parts {
		k.Parts = append(k.Parts, &apiv1.KnownPart{Id: p.ID, Length: p.Length})
	}
	return k
}

// objectOf takes an object off the wire. What cannot be right is an error.
func objectOf(k *apiv1.KnownObject) (origin.Object, error) {
	o := origin.Object{Path: k.GetPath(), Version: origin.Version(k.GetVersion()), ETag: k.GetEtag(), Size: k.GetSize()}
	if o.Path == "" || o.Version == "" || o.Size < 0 {
		return o, fmt.Errorf("%w: an object %q of version %q and %d bytes", errGarbage, o.Path, o.Version, o.Size)
	}
	if k.Modified {
		o.ModTime = time.Unix(k.ModifiedS, int64(k.ModifiedNs)).UTC()
	}
	if k.HasAttributes {
		if o.Attributes = k.Attributes; o.Attributes == nil {
			o.Attributes = map[string]string{}
		}
	}
	at := int64(0)
	for _, p := range k.Parts {
		if p.Length < 0 || p.Length > o.Size-at || p.Id == "" || strings.HasPrefix(p.Id, sidecar.ClientParts) {
			return o, fmt.Errorf("%w: %q has a part %q of %d bytes at %d", errGarbage, o.Path, p.Id, p.Length, at)
		}
		o.Parts = append(o.Parts, origin.Part{ID: p.Id, Offset: at, Length: p.Length})
		at += p.Length
	}
	if at != o.Size && len(k.Parts) > 0 {
		return o, fmt.Errorf("%w: %q has %d bytes, and parts of %d", errGarbage, o.Path, o.Size, at)
	}
	return o, nil
}

// answerOf takes what was heard of a path off the wire.
func answerOf(k *apiv1.KnownObject, sent time.Time) (a freshness.Answer[origin.Object], err error) {
	a.Sent = sent
	if k.GetAbsent() {
		a.Err = origin.NewError(origin.ErrNotFound, "stat", k.Path, errors.New("so the origin has told another sidecar"))
		return a, nil
	}
	a.Value, err = objectOf(k)
	return a, err
}

// knownList puts a page of a listing on the wire; nil keeps to what was asked.
func knownList(req origin.ListRequest, l *origin.Listing) *apiv1.KnownListing {
	k := &apiv1.KnownListing{Prefix: req.Prefix, Delimiter: req.Delimiter, StartAfter: req.StartAfter, Token: req.Token, MaxKeys: int64(req.MaxKeys), RestoreStatus: req.RestoreStatus}
	if l == nil {
		return k
	}
	k.CommonPrefixes, k.NextToken = l.CommonPrefixes, l.NextToken
	for i := range l.Entries {
		e := &l.Entries[i]
		x := known(e.Path, &e.Object)
		x.StorageClass = e.StorageClass
		if e.Restore != nil {
			x.Restore, x.RestoreInProgress = true, e.Restore.InProgress
			if !e.Restore.Expires.IsZero() {
				x.RestoreExpiresS = e.Restore.Expires.Unix()
			}
		}
		k.Entries = append(k.Entries, x)
	}
	return k
}

func requestOf(k *apiv1.KnownListing) origin.ListRequest {
	return origin.ListRequest{Prefix: k.GetPrefix(), Delimiter: k.GetDelimiter(), StartAfter: k.GetStartAfter(), Token: k.GetToken(), MaxKeys: int(k.GetMaxKeys()), RestoreStatus: k.GetRestoreStatus()}
}

// listingOf takes a page of a listing off the wire.
func listingOf(k *apiv1.KnownListing) (origin.Listing, error) {
	l := origin.Listing{CommonPrefixes: k.GetCommonPrefixes(), NextToken: k.GetNextToken()}
	for _, x := range k.GetEntries() {
		var e origin.Entry
		var err error
		if x.Version == "" { // it cannot be cached, and is named all the same
			e.Object = origin.Object{Path: x.Path, ETag: x.Etag, Size: x.Size}
			if x.Modified {
				e.ModTime = time.Unix(x.ModifiedS, int64(x.ModifiedNs)).UTC()
			}
		} else if e.Object, err = objectOf(x); err != nil {
			return l, err
		}
		if !strings.HasPrefix(x.Path, k.GetPrefix()) {
			return l, fmt.Errorf("%w: a listing of %q with %q", errGarbage, k.GetPrefix(), x.Path)
		}
		e.StorageClass = x.StorageClass
		if x.Restore {
			e.Restore = &origin.Restore{InProgress: x.RestoreInProgress}
			if x.RestoreExpiresS != 0 {
				e.Restore.Expires = time.Unix(x.RestoreExpiresS, 0).UTC()
			}
		}
		l.Entries = append(l.Entries, e)
	}
	return l, nil
}

// ageOf is how long ago an answer was sent for, in microseconds, rounded up.
func ageOf(sent time.Time) int64 {
	if sent.IsZero() {
		return -1
	}
	return time.Since(sent).Microseconds() + 1
}

// dated is when an answer was sent for that is so old when it comes: reckoned from when it was asked for, which errs to the older side. No two clocks are compared.
func dated(asked time.Time, age int64) (time.Time, error) {
	switch {
	case age == -1 || age > agesAgo.Microseconds():
		return asked.Add(-agesAgo), nil
	case age < 0:
		return asked, fmt.Errorf("%w: an age of %d us", errGarbage, age)
	}
	return asked.Add(-time.Duration(age) * time.Microsecond), nil
}
