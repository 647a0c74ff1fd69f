package namenode

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/krberror"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
	pw "google.golang.org/protobuf/encoding/protowire"
)

// States of an RpcSaslProto.
const (
	saslSuccess   = 0
	saslNegotiate = 1
	saslInitiate  = 2
	saslChallenge = 3
	saslResponse  = 4
	saslWrap      = 5
)

// saslMessage is an RpcSaslProto. Of the methods offered only Kerberos is kept.
type saslMessage struct {
	state    uint64
	token    []byte
	kerberos []byte // the SaslAuth of the method KERBEROS, as it came
	methods  []string
}

func parseSASL(b []byte) (saslMessage, error) {
	var m saslMessage
	err := each(b, func(f field) error {
		switch f.num {
		case 2:
			m.state = f.value
		case 3:
			m.token = f.data
		case 4:
			var method string
			if err := each(f.data, func(a field) error {
				if a.num == 1 {
					method = string(a.data)
				}
				return nil
			}); err != nil {
				return err
			}
			m.methods = append(m.methods, method)
			if method == "KERBEROS" {
				m.kerberos = f.data
			}
		}
		return nil
	})
	if err != nil {
		return m, fmt.Errorf("the NameNode's SASL message cannot be parsed: %w", err)
	}
	return m, nil
}

// exchange sends a SASL message and reads the one that answers it.
func (c *Client) exchange(k *conn, state uint64, token, auth []byte, want uint64) (saslMessage, error) {
	m := appendUint(nil, 2, state)
	if token != nil {
		m = appendBytes(m, 3, token)
	}
	if auth != nil {
		m = appendBytes(m, 4, auth)
	}
	if _, err := k.c.Write(frame(requestHeader(callSASL, c.id, 0), m)); err != nil {
		return saslMessage{}, err
	}
	packet, err := readPacket(k.c, 1<<20)
	if err != nil {
		return saslMessage{}, err
	}
	r, err := parseResponse(packet)
	if err != nil {
		return saslMessage{}, err
	}
	if r.err != nil {
		return saslMessage{}, fmt.Errorf("%w: %w", ErrCredentials, r.err)
	}
	got, err := parseSASL(r.body)
	if err == nil && (r.call != callSASL || got.state != want) {
		err = fmt.Errorf("the NameNode answered SASL state %d with %d; want %d", state, got.state, want)
	}
	return got, err
}

// authenticate runs GSSAPI over SASL (RFC 4752) and returns who the NameNode was told is calling.
func (c *Client) authenticate(ctx context.Context, k *conn, addr string) (user string, err error) {
	defer recovered(&err)
	offer, err := c.exchange(k, saslNegotiate, nil, nil, saslNegotiate)
	if err != nil {
		return "", err
	}
	if offer.kerberos == nil {
		return "", fmt.Errorf("%w: the NameNode does not offer Kerberos, only %s", ErrCredentials, strings.Join(offer.methods, ", "))
	}
	cl, err := c.opts.Kerberos.Credentials()
	if err != nil {
		return "", denied(err)
	}
	ticket, key, err := cl.GetServiceTicket(servicePrincipal(c.opts.Kerberos.Principal, addr))
	if err != nil {
		return "", denied(fmt.Errorf("no ticket for %s: %w", servicePrincipal(c.opts.Kerberos.Principal, addr), err))
	}
	init, err := spnego.NewNegTokenInitKRB5(cl, ticket, key)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	m, err := c.exchange(k, saslInitiate, init.MechTokenBytes, offer.kerberos, saslChallenge)
	if err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	answer, layer, err := chooseLayer(m.token, key)
	if err != nil {
		return "", err
	}
	if _, err := c.exchange(k, saslResponse, answer, nil, saslSuccess); err != nil {
		return "", err
	}
	if layer != layerNone {
		k.seal = &gssLayer{key: key, private: layer == layerPrivate}
	}
	return cl.Credentials.UserName() + "@" + cl.Credentials.Realm(), nil
}

// denied makes err one of credentials, unless it says that no Kerberos server answers, which passes. The library tells that in its text alone: at
// logins it puts the error's type away.
func denied(err error) error {
	if strings.Contains(err.Error(), "[Root cause: "+krberror.NetworkingError+"]") {
		return fmt.Errorf("%w: %w", ErrNoKDC, err)
	}
	return fmt.Errorf("%w: %w", ErrCredentials, err)
}

// servicePrincipal is a NameNode's principal with _HOST replaced and the realm left to the Kerberos configuration.
func servicePrincipal(principal, addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	name, _, _ := strings.Cut(principal, "@")
	service, instance, ok := strings.Cut(name, "/")
	if ok && instance == "_HOST" {
		return service + "/" + strings.ToLower(host)
	}
	return name
}

// The security layers of RFC 4752: hadoop.rpc.protection authentication, integrity and privacy.
const (
	layerNone    = 1
	layerSigned  = 2
	layerPrivate = 4
)

// chooseLayer reads which layers the NameNode offers and answers with the strongest.
func chooseLayer(token []byte, key types.EncryptionKey) (answer []byte, layer byte, err error) {
	plain, err := verify(token, key)
	if err != nil {
		return nil, 0, fmt.Errorf("the NameNode's offer of security layers is not what it signed: %w", err)
	}
	if len(plain) != 4 {
		return nil, 0, fmt.Errorf("the NameNode's offer of security layers has %d bytes; want 4", len(plain))
	}
	for _, l := range []byte{layerPrivate, layerSigned, layerNone} {
		if plain[0]&l != 0 {
			layer = l
			break
		}
	}
	if layer == 0 {
		return nil, 0, fmt.Errorf("the NameNode offers no security layer that is known (%#x)", plain[0])
	}
	choice := []byte{layer, 0, 0, 0}
	if layer != layerNone {
		copy(choice[1:], plain[1:]) // the largest message taken, here as there
	}
	signed, err := gssapi.NewInitiatorWrapToken(choice, key)
	if err != nil {
		return nil, 0, err
	}
	answer, err = signed.Marshal()
	return answer, layer, err
}

// verify returns what a signed token from the acceptor holds.
func verify(token []byte, key types.EncryptionKey) (plain []byte, err error) {
	defer recovered(&err)
	var t gssapi.WrapToken
	if err := t.Unmarshal(token, true); err != nil {
		return nil, err
	}
	if ok, err := t.Verify(key, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil || !ok {
		return nil, errors.Join(errors.New("the signature does not fit"), err)
	}
	return t.Payload, nil
}

// gssLayer signs or encrypts the packets of a connection (RFC 4121). wrap is called for one packet at a time.
type gssLayer struct {
	key     types.EncryptionKey
	private bool
	seq     uint64
}

const (
	gssHeader       = 16
	flagSealed      = 2
	flagFromServer  = 1
	flagServerKey   = 4
	gssInitiatorUse = keyusage.GSSAPI_INITIATOR_SEAL
)

func (g *gssLayer) wrap(packet []byte) ([]byte, error) {
	token, err := g.token(packet)
	if err != nil {
		return nil, err
	}
	m := appendBytes(appendUint(nil, 2, saslWrap), 3, token)
	head := appendUint(nil, 1, 2)
	head = appendUint(head, 2, 0)
	head = appendUint(head, 3, pw.EncodeZigZag(callSASL))
	return frame(appendBytes(head, 4, nil), m), nil
}

func (g *gssLayer) token(packet []byte) ([]byte, error) {
	seq := g.seq
	g.seq++
	if !g.private {
		t := gssapi.WrapToken{EC: 12, SndSeqNum: seq, Payload: packet}
		e, err := crypto.GetEtype(g.key.KeyType)
		if err != nil {
			return nil, err
		}
		t.EC = uint16(e.GetHMACBitLength() / 8)
		if err := t.SetCheckSum(g.key, gssInitiatorUse); err != nil {
			return nil, err
		}
		return t.Marshal()
	}
	head := binary.BigEndian.AppendUint64([]byte{5, 4, flagSealed, 0xff, 0, 0, 0, 0}, seq)
	e, err := crypto.GetEtype(g.key.KeyType)
	if err != nil {
		return nil, err
	}
	_, sealed, err := e.EncryptMessage(g.key.KeyValue, append(append(make([]byte, 0, len(packet)+gssHeader), packet...), head...), gssInitiatorUse)
	if err != nil {
		return nil, err
	}
	return append(head, sealed...), nil
}

func (g *gssLayer) unwrap(token []byte) (packet []byte, err error) {
	defer recovered(&err)
	if !g.private {
		return verify(token, g.key)
	}
	if len(token) < gssHeader || token[0] != 5 || token[1] != 4 {
		return nil, errors.New("no sealed token")
	}
	if f := token[2]; f&flagSealed == 0 || f&flagFromServer == 0 || f&flagServerKey != 0 {
		return nil, fmt.Errorf("a token with the flags %#x", f)
	}
	extra, turn := int(binary.BigEndian.Uint16(token[4:])), int(binary.BigEndian.Uint16(token[6:]))
	body := append([]byte(nil), token[gssHeader:]...)
	if len(body) > 0 {
		turn %= len(body)
		body = append(body[turn:], body[:turn]...)
	}
	plain, err := crypto.DecryptMessage(body, g.key, keyusage.GSSAPI_ACCEPTOR_SEAL)
	if err != nil {
		return nil, err
	}
	n := len(plain) - gssHeader - extra
	if n < 0 || !sameHeader(plain[len(plain)-gssHeader:], token[:gssHeader]) {
		return nil, errors.New("the sealed header differs from the open one")
	}
	return plain[:n], nil
}

// recovered turns a panic of the Kerberos library, which slices short tokens beyond their bounds, into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the Kerberos library panicked on what it was sent: %v", r)
	}
}

// sameHeader compares headers but for the rotation count, which is zero in the sealed one.
func sameHeader(sealed, open []byte) bool {
	return string(sealed[:6]) == string(open[:6]) && string(sealed[8:]) == string(open[8:])
}
