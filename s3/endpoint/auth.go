package endpoint

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far a client's clock may be off, as at S3.
const maxSkew = 15 * time.Minute

// maxExpires is the longest life of a presigned URL, in seconds: a week, as at S3.
const maxExpires = 7 * 24 * 3600

// identity is who a request turned out to come from.
type identity struct {
	grants *grants
	open   bool // nobody is asked who they are
	// signer continues the signature over a chunked payload; nil where signatures are not looked at.
	signer *chunkSigner
}

// authenticator checks signatures. It is safe for parallel use.
type authenticator struct {
	open     bool   // no credentials configured
	everyone grants // what a request may do then: everything
	region   string
	byKey    map[string]*account
	keys     keyCache
}

type account struct {
	secret string
	grants grants
}

func newAuthenticator(creds []Credential, region string) *authenticator {
	a := &authenticator{open: len(creds) == 0, everyone: grants{all: true}, region: region, byKey: make(map[string]*account, len(creds))}
	for i := range creds {
		a.byKey[creds[i].AccessKeyID] = &account{secret: creds[i].SecretAccessKey, grants: newGrants(creds[i].Mounts)}
	}
	return a
}

// signature is what an Authorization header or a presigned URL says.
type signature struct {
	accessKey, scope, date, region string
	signedHeaders                  string
	value                          string // 64 hex digits
	amzDate                        string
	when                           time.Time
	payloadHash                    string
	presigned                      bool
	expires                        time.Duration // presigned only
}

// check verifies the request's signature, by header or by presigned URL.
func (a *authenticator) check(r *http.Request, t *target, now time.Time) (identity, error) {
	if a.open {
		return identity{grants: &a.everyone, open: true}, nil
	}
	sig, err := readSignature(r, t.query)
	if err != nil {
		return identity{}, err
	}
	acct, err := a.account(&sig, now)
	if err != nil {
		return identity{}, err
	}
	if err := checkSignedHeaders(r, sig.signedHeaders); err != nil {
		return identity{}, err
	}
	decoded, _ := unescape(t.rawPath, false)
	s := signedRequest{headers: requestHeaders{r}, method: r.Method, path: decoded, rawPath: t.rawPath, query: t.query, sig: &sig}
	kid := keyID{sig.accessKey, sig.date, sig.region}
	key := a.keys.get(kid)
	cached := key != nil
	if !cached {
		key = newSigningKey(acct.secret, sig.date, sig.region)
	}
	m := key.take()
	same := s.verify(m)
	key.giveBack(m)
	if !same {
		return identity{}, rejected("mismatch", http.StatusForbidden, "SignatureDoesNotMatch",
			fmt.Sprintf("The request signature we calculated does not match the signature you provided. Check the secret key of %q; "+
				"if a proxy stands between, it must keep the Host header (seen here: %q) and the path.", sig.accessKey, r.Host),
			"AWSAccessKeyId", sig.accessKey)
	}
	if !cached {
		a.keys.put(kid, key)
	}
	id := identity{grants: &acct.grants}
	if !sig.presigned && strings.HasPrefix(sig.payloadHash, "STREAMING-") {
		id.signer = &chunkSigner{key: key, amzDate: sig.amzDate, scope: sig.scope, previous: sig.value}
	}
	return id, nil
}

// account finds whose signature it claims to be, and checks its region and its time. The signature itself is checked later.
func (a *authenticator) account(sig *signature, now time.Time) (*account, error) {
	acct, ok := a.byKey[sig.accessKey]
	if !ok {
		return nil, rejected("unknown_key", http.StatusForbidden, "InvalidAccessKeyId",
			fmt.Sprintf("No access key %q is configured at this endpoint. Its keys are its own, not the origin's.", sig.accessKey),
			"AWSAccessKeyId", sig.accessKey)
	}
	if a.region != "" && sig.region != a.region {
		return nil, rejected("malformed", http.StatusBadRequest, "AuthorizationHeaderMalformed",
			fmt.Sprintf("The authorization header is malformed; the region %q is wrong; expecting %q.", sig.region, a.region), "Region", a.region)
	}
	return acct, sig.checkTime(now)
}

// readSignature parses the signature wherever it is.
func readSignature(r *http.Request, q query) (signature, error) {
	header := r.Header.Get("Authorization")
	presigned := q.has("X-Amz-Algorithm") || q.has("X-Amz-Signature")
	switch {
	case header != "" && presigned:
		return signature{}, rejected("malformed", http.StatusBadRequest, "InvalidArgument",
			"Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header should be specified.")
	case presigned:
		return readPresigned(r, q)
	case header == "":
		return signature{}, rejected("missing", http.StatusForbidden, "AccessDenied",
			"This endpoint wants signed requests (AWS Signature Version 4). Configure the client with one of its access keys.")
	}
	return readHeader(r, header)
}

// readHeader reads the signature of a request with an Authorization header.
func readHeader(r *http.Request, header string) (sig signature, err error) {
	credential, err := sig.parseHeader(header)
	if err != nil {
		return sig, err
	}
	sig.amzDate = r.Header.Get("X-Amz-Date")
	if sig.amzDate == "" { // S3 takes the Date header then
		when, err := http.ParseTime(r.Header.Get("Date"))
		if err != nil {
			return sig, rejected("malformed", http.StatusForbidden, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header.")
		}
		sig.amzDate = when.UTC().Format(amzDateLayout)
	}
	if sig.payloadHash = r.Header.Get("X-Amz-Content-Sha256"); sig.payloadHash == "" {
		return sig, rejected("malformed", http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256.")
	}
	return sig, sig.finishHeader(credential)
}

// finishHeader is finish for an Authorization header.
func (s *signature) finishHeader(credential string) error {
	return s.finish(credential, "AuthorizationHeaderMalformed", "The authorization header is malformed; ")
}

// parseHeader parses "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…", and returns the credential. It does not allocate, but for
// an error; nor does finish.
func (s *signature) parseHeader(header string) (credential string, err error) {
	rest, ok := strings.CutPrefix(header, algorithm)
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' {
		return "", rejected("malformed", http.StatusBadRequest, "InvalidRequest",
			"The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
	}
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			s.signedHeaders = value
		case "Signature":
			s.value = value
		}
	}
	return credential, nil
}

// readPresigned parses the query of a presigned URL.
func readPresigned(r *http.Request, q query) (sig signature, err error) {
	const code = "AuthorizationQueryParametersError"
	if dup := q.duplicate(isAuthParam); dup != "" {
		return sig, rejected("malformed", http.StatusBadRequest, code, "The query parameter "+dup+" is given twice.")
	}
	if alg, _ := q.get("X-Amz-Algorithm"); alg != algorithm {
		return sig, rejected("malformed", http.StatusBadRequest, code, "X-Amz-Algorithm only supports AWS4-HMAC-SHA256.")
	}
	sig.presigned = true
	sig.value, _ = q.get("X-Amz-Signature")
	sig.signedHeaders, _ = q.get("X-Amz-SignedHeaders")
	sig.amzDate, _ = q.get("X-Amz-Date")
	expires, _ := q.get("X-Amz-Expires")
	seconds, convErr := strconv.Atoi(expires)
	if convErr != nil || seconds < 0 || seconds > maxExpires {
		return sig, rejected("malformed", http.StatusBadRequest, code, "X-Amz-Expires must be a number of seconds between 0 and 604800.")
	}
	sig.expires = time.Duration(seconds) * time.Second
	if sig.payloadHash = r.Header.Get("X-Amz-Content-Sha256"); sig.payloadHash == "" {
		if sig.payloadHash, _ = q.get("X-Amz-Content-Sha256"); sig.payloadHash == "" {
			sig.payloadHash = unsignedPayload
		}
	}
	credential, _ := q.get("X-Amz-Credential")
	return sig, sig.finish(credential, code, "The signature parameters are malformed; ")
}

// finish parses the credential and the date, and checks the shape of the rest.
func (s *signature) finish(credential, code, prefix string) error {
	bad := func(what string) error {
		return rejected("malformed", http.StatusBadRequest, code, prefix+what)
	}
	// An access key may hold slashes, the four fields behind it do not.
	rest, terminator, ok1 := cutLast(credential)
	rest, service, ok2 := cutLast(rest)
	rest, region, ok3 := cutLast(rest)
	accessKey, date, ok4 := cutLast(rest)
	if !ok1 || !ok2 || !ok3 || !ok4 || date == "" || region == "" {
		return bad("the Credential must be <access key>/<YYYYMMDD>/<region>/s3/aws4_request.")
	}
	if service != "s3" || terminator != "aws4_request" {
		return bad("the Credential must end in \"s3/aws4_request\".")
	}
	s.accessKey, s.date, s.region = accessKey, date, region
	s.scope = credential[len(accessKey)+1:]
	if len(s.value) != 64 || !isHex(s.value, 'a') {
		return bad("the Signature must be 64 lower-case hex digits.")
	}
	if s.signedHeaders == "" {
		return bad("the SignedHeaders are missing.")
	}
	if !validPayloadHash(s.payloadHash) {
		return rejected("malformed", http.StatusBadRequest, "InvalidArgument",
			"x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING-… values, or a SHA-256 in hex.")
	}
	when, err := parseAmzDate(s.amzDate)
	if err != nil {
		return bad("the date must be in the ISO 8601 basic format YYYYMMDD'T'HHMMSS'Z'.")
	}
	if !strings.HasPrefix(s.amzDate, s.date) || len(s.date) != 8 {
		return bad(fmt.Sprintf("the Credential's date %q is not the day of the request, %q.", s.date, s.amzDate))
	}
	s.when = when
	return nil
}

// cutLast cuts around the last slash.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// validPayloadHash reports whether a value may stand in x-amz-content-sha256.
func validPayloadHash(v string) bool {
	return v == unsignedPayload || strings.HasPrefix(v, "STREAMING-") || len(v) == 64 && (isHex(v, 'a') || isHex(v, 'A') || strings.Trim(v, "0123456789abcdefABCDEF") == "")
}

// isHex reports whether all of v are hex digits, the letters of one case: a is the first of them.
func isHex(v string, a byte) bool {
	for i := 0; i < len(v); i++ {
		if v[i]-'0' > 9 && v[i]-a > 5 {
			return false
		}
	}
	return true
}

// parseAmzDate is time.Parse of amzDateLayout, at a tenth of the cost for what clients send.
func parseAmzDate(v string) (time.Time, error) {
	if len(v) != len(amzDateLayout) || v[8] != 'T' || v[15] != 'Z' {
		return time.Parse(amzDateLayout, v)
	}
	number := func(from, to int) (n int) {
		for _, c := range []byte(v[from:to]) {
			if c -= '0'; c > 9 {
				return -1 << 20
			}
			n = n*10 + int(c)
		}
		return n
	}
	year, month, day := number(0, 4), number(4, 6), number(6, 8)
	hour, minute, second := number(9, 11), number(11, 13), number(13, 15)
	// Days that only some months have are left to time.Parse.
	if year < 0 || month < 1 || month > 12 || day < 1 || day > 28 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return time.Parse(amzDateLayout, v)
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC), nil
}

// checkTime compares the signature's time with ours.
func (s *signature) checkTime(now time.Time) error {
	server := func() string { return now.UTC().Format(time.RFC3339) }
	switch {
	case s.presigned && now.Before(s.when.Add(-maxSkew)):
		return rejected("skewed", http.StatusForbidden, "AccessDenied", "Request is not yet valid", "ServerTime", server())
	case s.presigned && now.After(s.when.Add(s.expires)):
		return rejected("expired", http.StatusForbidden, "AccessDenied", "Request has expired",
			"Expires", s.when.Add(s.expires).UTC().Format(time.RFC3339), "ServerTime", server())
	case !s.presigned && now.Sub(s.when).Abs() > maxSkew:
		return rejected("skewed", http.StatusForbidden, "RequestTimeTooSkewed",
			fmt.Sprintf("The difference between the request time (%s) and the server's time (%s) is too large: set the clocks, 15 minutes are allowed.",
				s.when.UTC().Format(time.RFC3339), server()),
			"RequestTime", s.amzDate, "ServerTime", server(), "MaxAllowedSkewMilliseconds", strconv.FormatInt(maxSkew.Milliseconds(), 10))
	}
	return nil
}

// checkSignedHeaders demands that the host and every x-amz-* header are signed, as S3 does: an unsigned one could have been added on
// the way.
func checkSignedHeaders(r *http.Request, signed string) error {
	if !listed(signed, "host") {
		return unsignedHeader("host")
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") && !listed(signed, name) {
			return unsignedHeader(strings.ToLower(name))
		}
	}
	if r.Header.Get("X-Amz-Date") == "" && r.Header.Get("Date") != "" && r.Header.Get("Authorization") != "" && !listed(signed, "date") {
		return unsignedHeader("date")
	}
	return nil
}

func unsignedHeader(name string) error {
	return rejected("unsigned_header", http.StatusForbidden, "AccessDenied", "There were headers present in the request which were not signed",
		"HeadersNotSigned", name)
}

// listed reports whether the list of signed headers holds a name, in any case.
func listed(list, name string) bool {
	for list != "" {
		var one string
		one, list, _ = strings.Cut(list, ";")
		if strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}
