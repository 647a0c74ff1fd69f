package endpoint

import (
	"strings"
	"time"
)

// keyMemo is the signing key that last verified a signature, so that a client's next request finds it without a look at the shared cache. An
// account of an authenticator never changes, and a key belongs to its account, day and region only, so the memo is right for as long as that
// authenticator is in force.
type keyMemo struct {
	of  *authenticator
	id  keyID
	mac *mac
}

// checkLean is check for a plain request: what it lets in, check lets in too. nil says that the request is not surely to be let in, and that
// check must tell why. It allocates nothing once the signing key is known.
func (a *authenticator) checkLean(q *leanRequest, memo *keyMemo, now time.Time) *grants {
	if a.open {
		return &a.everyone
	}
	if q.authorization == "" || q.amzDate == "" || q.payloadHash == "" || strings.HasPrefix(q.payloadHash, "STREAMING-") ||
		len(q.query) > 1 || len(q.query) == 1 && isAuthParam(q.query[0].name) {
		return nil
	}
	q.sig = signature{amzDate: q.amzDate, payloadHash: q.payloadHash}
	credential, err := q.sig.parseHeader(q.authorization)
	if err != nil || q.sig.finishHeader(credential) != nil {
		return nil
	}
	acct, err := a.account(&q.sig, now)
	if err != nil || !q.signsEnough() {
		return nil
	}
	q.signed = signedRequest{headers: q, method: "GET", path: q.path, rawPath: q.rawPath, query: q.query, sig: &q.sig}
	id := keyID{q.sig.accessKey, q.sig.date, q.sig.region}
	if memo.mac != nil && memo.of == a && memo.id == id {
		if !q.signed.verify(memo.mac) {
			return nil
		}
		return &acct.grants
	}
	key := a.keys.get(id)
	cached := key != nil
	if !cached {
		key = newSigningKey(acct.secret, id.date, id.region)
	}
	m := key.take()
	if !q.signed.verify(m) {
		key.giveBack(m)
		return nil
	}
	memo.of, memo.id, memo.mac = a, id.clone(), m
	if !cached {
		a.keys.put(id, key)
	}
	return &acct.grants
}

// signsEnough is checkSignedHeaders for a request with an X-Amz-Date.
func (q *leanRequest) signsEnough() bool {
	if !listed(q.sig.signedHeaders, "host") {
		return false
	}
	for i := range q.headers {
		if h := &q.headers[i]; h.amz && !listed(q.sig.signedHeaders, h.name) {
			return false
		}
	}
	return true
}
