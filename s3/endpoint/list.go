package endpoint

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/alio-lake/alio/origin"
)

// maxListKeys is the most that one page of a listing holds, as at S3.
const maxListKeys = 1000

const s3Time = "2006-01-02T15:04:05.000Z"

// listing is a request for one page, in either version of the API.
type listing struct {
	v2                bool
	mount             string
	prefix, delimiter string
	after             string // start-after, or version 1's marker
	token             string // the backend's; version 2 only
	rawToken          string // as the client sent it, to be echoed
	maxKeys           int
	encode            bool
	restore           bool // asked for RestoreStatus
}

// list serves ListObjectsV2 and ListObjects.
func (x *exchange) list() error {
	l, err := parseListing(x.target.bucket, x.target.query)
	if err != nil {
		return err
	}
	if !x.identity.grants.prefix(l.mount, l.prefix) {
		return x.denied()
	}
	l.restore = asksRestoreStatus(x.r.Header)
	var page origin.Listing
	if l.maxKeys > 0 {
		page, err = x.listPage(&l)
	} else {
		err = x.requireMount()
	}
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, "application/xml", l.xml(&page))
	return nil
}

// parseListing reads the parameters, which bucketAllowsHit has seen already.
func parseListing(mount string, q query) (l listing, err error) {
	if dup := q.duplicate(func(name string) bool { return listParams[name] }); dup != "" {
		return l, invalidArgument(dup, "", "The query parameter "+dup+" is given twice.")
	}
	l.mount = mount
	l.v2 = q.has("list-type")
	l.prefix, _ = q.get("prefix")
	l.delimiter, _ = q.get("delimiter")
	switch encoding, ok := q.get("encoding-type"); {
	case encoding == "url":
		l.encode = true
	case ok && encoding != "":
		return l, invalidArgument("encoding-type", encoding, "Invalid Encoding Method specified in Request")
	}
	if l.maxKeys, err = parseMaxKeys(q); err != nil {
		return l, err
	}
	if !l.v2 {
		l.after, _ = q.get("marker")
		return l, nil
	}
	l.after, _ = q.get("start-after")
	var given bool
	if l.rawToken, given = q.get("continuation-token"); given {
		var ok bool
		if l.token, ok = l.openToken(l.rawToken); !ok {
			return l, invalidArgument("continuation-token", l.rawToken, "The continuation token provided is incorrect")
		}
	}
	return l, nil
}

func parseMaxKeys(q query) (int, error) {
	text, ok := q.get("max-keys")
	if !ok || text == "" {
		return maxListKeys, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n > math.MaxInt32:
		return 0, invalidArgument("max-keys", text, "Provided max-keys not an integer or within integer range")
	case n < 0:
		return 0, invalidArgument("max-keys", text, "Argument maxKeys must be an integer between 0 and 2147483647")
	}
	return int(min(n, maxListKeys)), nil
}

// listPage gets one page. Version 1 goes on after a marker, not from a token, and the marker may be the common prefix that the page
// before ended with; a backend that is asked for what comes after "a/" finds "a/x" and folds it into "a/" again. So what is not
// after the marker is dropped, and an empty page that is not the last is skipped, since its successor could not be named.
func (x *exchange) listPage(l *listing) (origin.Listing, error) {
	req := origin.ListRequest{Prefix: l.prefix, Delimiter: l.delimiter, StartAfter: l.after, Token: l.token, MaxKeys: l.maxKeys, RestoreStatus: l.restore}
	req.Folded = !l.v2 && l.delimiter != "" && len(l.after) > len(l.prefix) && strings.HasPrefix(l.after, l.prefix) && strings.HasSuffix(l.after, l.delimiter)
	for {
		page, err := x.h.backend.List(x.r.Context(), l.mount, req)
		if err != nil || l.v2 {
			return page, err
		}
		for len(page.CommonPrefixes) > 0 && page.CommonPrefixes[0] <= l.after {
			page.CommonPrefixes = page.CommonPrefixes[1:]
		}
		if len(page.Entries)+len(page.CommonPrefixes) > 0 || page.NextToken == "" {
			return page, nil
		}
		req.Token = page.NextToken
	}
}

// nextMarker is where version 1 goes on: the greatest name of the page.
func nextMarker(page *origin.Listing) string {
	var last string
	if n := len(page.Entries); n > 0 {
		last = page.Entries[n-1].Path
	}
	if n := len(page.CommonPrefixes); n > 0 {
		last = max(last, page.CommonPrefixes[n-1])
	}
	return last
}

// tokenVersion begins every continuation token, so that a later build can tell its own from these.
const tokenVersion = 1

// sealToken wraps the backend's token for the client: base64 of a version, a checksum and the token, so that whatever bytes it holds
// survive a URL, and one that was cut short, or belongs to another listing or another endpoint, is refused rather than misread. It
// holds no state of this process: the next page can be had after a restart. It is no secret and needs none: what may be listed is
// checked again on every page.
func (l *listing) sealToken(token string) string {
	b := binary.LittleEndian.AppendUint32([]byte{tokenVersion}, l.tokenSum(token))
	return base64.RawURLEncoding.EncodeToString(append(b, token...))
}

func (l *listing) openToken(sealed string) (string, bool) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(b) <= 5 || b[0] != tokenVersion {
		return "", false
	}
	token := string(b[5:])
	return token, binary.LittleEndian.Uint32(b[1:5]) == l.tokenSum(token)
}

func (l *listing) tokenSum(token string) uint32 {
	var b []byte
	for _, s := range []string{l.mount, l.prefix, l.delimiter, token} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return crc32.Checksum(b, castagnoli)
}

// xml writes the page as S3 does.
func (l *listing) xml(page *origin.Listing) []byte {
	x := xmlWriter{b: make([]byte, 0, 512+320*(len(page.Entries)+len(page.CommonPrefixes)))}
	x.b = append(x.b, xmlHeader...)
	x.open("ListBucketResult", s3Namespace)
	x.text("Name", l.mount)
	x.text("Prefix", l.name(l.prefix))
	if l.v2 {
		l.xmlV2(&x, page)
	} else {
		l.xmlV1(&x, page)
	}
	x.int("MaxKeys", int64(l.maxKeys))
	if l.delimiter != "" {
		x.text("Delimiter", l.name(l.delimiter))
	}
	if l.encode {
		x.text("EncodingType", "url")
	}
	x.bool("IsTruncated", page.NextToken != "")
	for i := range page.Entries {
		l.xmlEntry(&x, &page.Entries[i])
	}
	for _, p := range page.CommonPrefixes {
		x.open("CommonPrefixes", "")
		x.text("Prefix", l.name(p))
		x.close("CommonPrefixes")
	}
	x.close("ListBucketResult")
	return x.b
}

func (l *listing) xmlV2(x *xmlWriter, page *origin.Listing) {
	if l.after != "" {
		x.text("StartAfter", l.name(l.after))
	}
	if l.rawToken != "" {
		x.text("ContinuationToken", l.rawToken)
	}
	if page.NextToken != "" {
		x.text("NextContinuationToken", l.sealToken(page.NextToken))
	}
	x.int("KeyCount", int64(len(page.Entries)+len(page.CommonPrefixes)))
}

// xmlV1 gives NextMarker only with a delimiter, as S3 does: without one the last key is the marker.
func (l *listing) xmlV1(x *xmlWriter, page *origin.Listing) {
	x.text("Marker", l.name(l.after))
	if page.NextToken != "" && l.delimiter != "" {
		x.text("NextMarker", l.name(nextMarker(page)))
	}
}

func (l *listing) xmlEntry(x *xmlWriter, e *origin.Entry) {
	x.open("Contents", "")
	x.text("Key", l.name(e.Path))
	x.text("LastModified", e.ModTime.UTC().Format(s3Time))
	if e.ETag != "" {
		x.text("ETag", e.ETag)
	}
	x.int("Size", e.Size)
	storage := e.StorageClass
	if storage == "" {
		storage = "STANDARD"
	}
	x.text("StorageClass", storage)
	if r := e.Restore; r != nil && l.restore {
		x.open("RestoreStatus", "")
		x.bool("IsRestoreInProgress", r.InProgress)
		if !r.Expires.IsZero() {
			x.text("RestoreExpiryDate", r.Expires.UTC().Format(s3Time))
		}
		x.close("RestoreStatus")
	}
	x.close("Contents")
}

// name spells a key for the answer. encoding-type=url keeps slashes, as S3 does. A space becomes %20, where S3 writes "+": clients that
// decode plus as a space (botocore, the Java SDKs) and those that do not both read %20 right.
func (l *listing) name(s string) string {
	if !l.encode {
		return s
	}
	return string(appendEscaped(make([]byte, 0, len(s)+16), s, true))
}

// listBuckets answers GET / with the mounts that the client may see.
func (x *exchange) listBuckets() error {
	out := xmlWriter{b: []byte(xmlHeader)}
	out.open("ListAllMyBucketsResult", s3Namespace)
	out.open("Owner", "")
	out.text("ID", "alio")
	out.text("DisplayName", "alio")
	out.close("Owner")
	out.open("Buckets", "")
	created := x.h.born.UTC().Format(s3Time) // clients want one; a mount has none to tell
	for _, m := range x.visible() {
		out.open("Bucket", "")
		out.text("Name", m)
		out.text("CreationDate", created)
		out.close("Bucket")
	}
	out.close("Buckets")
	out.close("ListAllMyBucketsResult")
	x.reply(http.StatusOK, "application/xml", out.body(x.r.Method))
	return nil
}

// headBucket answers HEAD of a mount.
func (x *exchange) headBucket() error {
	if err := x.requireMount(); err != nil {
		return err
	}
	if x.h.region != "" {
		x.w.Header()["X-Amz-Bucket-Region"] = []string{x.h.region}
	}
	x.reply(http.StatusOK, "application/xml", nil)
	return nil
}

// location answers GetBucketLocation. An empty element is us-east-1, by S3's definition.
func (x *exchange) location() error {
	if err := x.requireMount(); err != nil {
		return err
	}
	region := x.h.region
	if region == "us-east-1" {
		region = ""
	}
	out := xmlWriter{b: []byte(xmlHeader)}
	out.open("LocationConstraint", s3Namespace)
	out.escape(region)
	out.close("LocationConstraint")
	x.reply(http.StatusOK, "application/xml", out.b)
	return nil
}

// body returns what was written, or nothing for a HEAD.
func (x *xmlWriter) body(method string) []byte {
	if method == http.MethodHead {
		return nil
	}
	return x.b
}
