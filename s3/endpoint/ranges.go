package endpoint

import (
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/alio-lake/alio/origin"
)

// byteRange is what a Range header asks for.
type byteRange struct {
	set    bool  // false: no range, or one to be ignored
	suffix int64 // the last bytes, where it is >= 0; then first and last mean nothing
	first  int64
	last   int64 // inclusive; at most MaxInt64-1, so that last+1 is a number
	raw    string
}

// parseRange reads a Range header. S3, asked for several ranges, for last < first or for anything else that it cannot read, ignores
// the header and answers 200 with the whole object: RFC 9110 section 14.2 allows it, and moto's and LocalStack's authors compared
// with AWS (getmoto/moto#6778, localstack/localstack#9076; basho/riak_cs#304 for several ranges). Numbers beyond 2^63 are clamped:
// Presto sends bytes=0-9223372036854775806.
func parseRange(h http.Header) byteRange {
	if values := h["Range"]; len(values) == 1 {
		return parseRangeValue(values[0])
	}
	return byteRange{}
}

func parseRangeValue(value string) byteRange {
	unit, spec, ok := strings.Cut(strings.TrimSpace(value), "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return byteRange{}
	}
	firstText, lastText, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return byteRange{}
	}
	b := byteRange{set: true, suffix: -1, last: math.MaxInt64 - 1, raw: value}
	if firstText == "" {
		if b.suffix, ok = digits(lastText); !ok {
			return byteRange{}
		}
		return b
	}
	if b.first, ok = digits(firstText); !ok {
		return byteRange{}
	}
	if lastText != "" {
		if b.last, ok = digits(lastText); !ok || b.last < b.first {
			return byteRange{}
		}
	}
	return b
}

// digits reads a decimal number, clamped to MaxInt64-1.
func digits(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	var v int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if v > (math.MaxInt64-1-int64(s[i]-'0'))/10 {
			v = math.MaxInt64 - 1
			continue
		}
		if v < math.MaxInt64-1 {
			v = v*10 + int64(s[i]-'0')
		}
	}
	return v, true
}

// request asks an origin for the range.
func (b *byteRange) request(path string) origin.ReadRequest {
	switch {
	case !b.set:
		return origin.ReadRequest{Path: path, Length: origin.WholeRange}
	case b.suffix > 0:
		return origin.ReadRequest{Path: path, Suffix: b.suffix}
	}
	return origin.ReadRequest{Path: path, Offset: b.first, Length: b.last - b.first + 1}
}

// resolve applies the range to an object's size. ok is false where nothing of it lies in the object: a start at or after the end, a
// suffix of no bytes, any range of an empty object.
func (b *byteRange) resolve(size int64) (offset, length int64, ok bool) {
	switch {
	case !b.set:
		return 0, size, true
	case size == 0 || b.suffix == 0:
		return 0, 0, false
	case b.suffix > 0:
		length = min(b.suffix, size)
		return size - length, length, true
	case b.first >= size:
		return 0, 0, false
	}
	return b.first, min(b.last, size-1) - b.first + 1, true
}

// conditions are the preconditions of a GET or HEAD.
type conditions struct {
	match, noneMatch           string // the headers' values, joined; "" is none
	modified, unmodified       time.Time
	hasModified, hasUnmodified bool
}

func parseConditions(h http.Header) conditions {
	c := conditions{match: joined(h["If-Match"]), noneMatch: joined(h["If-None-Match"])}
	c.modified, c.hasModified = httpDate(h["If-Modified-Since"])
	c.unmodified, c.hasUnmodified = httpDate(h["If-Unmodified-Since"])
	return c
}

func joined(values []string) string {
	if len(values) == 1 {
		return strings.TrimSpace(values[0])
	}
	return strings.TrimSpace(strings.Join(values, ","))
}

// httpDate reads a date; one that cannot be read is ignored, as RFC 9110 sections 13.1.3 and 13.1.4 demand.
func httpDate(values []string) (time.Time, bool) {
	if len(values) != 1 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(values[0])
	return t, err == nil
}

func (c *conditions) empty() bool {
	return c.match == "" && c.noneMatch == "" && !c.hasModified && !c.hasUnmodified
}

// etag returns the version that the client names, if it names exactly one: its own confirmation of what is current.
func (c *conditions) etag() string {
	if c.match == "" || c.match == "*" || strings.Contains(c.match, ",") || strings.HasPrefix(c.match, "W/") {
		return ""
	}
	return `"` + strings.Trim(c.match, `"`) + `"`
}

// errNotModified is the answer 304.
var errNotModified = &apiError{status: http.StatusNotModified, code: "NotModified", message: "Not Modified"}

// check evaluates the preconditions in the order of RFC 9110 section 13.2.2, which is also what the GetObject page of the S3 API
// reference says of the pairs: If-Match decides before If-Unmodified-Since, If-None-Match before If-Modified-Since. The time of an object that is being
// written may stand still while it grows (on HDFS it does), so it never proves that nothing has changed.
func (c *conditions) check(o *origin.Object) error {
	when := o.ModTime.Truncate(time.Second) // as Last-Modified told it
	switch {
	case c.match != "":
		if !etagIn(c.match, o.ETag, true) {
			return preconditionFailed("If-Match")
		}
	case c.hasUnmodified && !o.ModTime.IsZero() && (o.Unfinished() || when.After(c.unmodified)):
		return preconditionFailed("If-Unmodified-Since")
	}
	switch {
	case c.noneMatch != "":
		if etagIn(c.noneMatch, o.ETag, false) {
			return errNotModified
		}
	case c.hasModified && !o.ModTime.IsZero() && !o.Unfinished() && !when.After(c.modified):
		return errNotModified
	}
	return nil
}

func preconditionFailed(condition string) error {
	return &apiError{status: http.StatusPreconditionFailed, code: "PreconditionFailed",
		message: "At least one of the pre-conditions you specified did not hold", extra: []string{"Condition", condition}}
}

// etagIn reports whether a list of entity tags holds one. Quotes may be missing: S3 takes both. A strong comparison never matches a
// weak tag.
func etagIn(list, etag string, strong bool) bool {
	if list == "*" {
		return true
	}
	bare := strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	if etag == "" || strong && strings.HasPrefix(etag, "W/") {
		return false
	}
	for list != "" {
		var one string
		one, list = nextETag(list)
		tag, weak := strings.CutPrefix(one, "W/")
		if one != "" && !(weak && strong) && strings.Trim(tag, `"`) == bare {
			return true
		}
	}
	return false
}

// nextETag cuts the first entry off a list. A comma inside of quotes belongs to the tag.
func nextETag(list string) (one, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			return strings.TrimSpace(list[:i]), list[i+1:]
		}
	}
	return strings.TrimSpace(list), ""
}
