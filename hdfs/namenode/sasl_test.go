package namenode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/krberror"
	"github.com/jcmturner/gokrb5/v8/types"
)

// keyOf is a session key of an encryption type (17, 18: AES of 128 and 256 bits).
func keyOf(kind int32, n int) types.EncryptionKey {
	return types.EncryptionKey{KeyType: kind, KeyValue: bytes.Repeat([]byte{7}, n)}
}

// signedBy is a token of the acceptor that holds b, signed.
func signedBy(t *testing.T, key types.EncryptionKey, b []byte) []byte {
	t.Helper()
	w := gssapi.WrapToken{Flags: flagFromServer, EC: 12, Payload: b}
	if err := w.SetCheckSum(key, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil {
		t.Fatal(err)
	}
	out, err := w.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sealedBy is a token of the acceptor that holds b, encrypted, with filler bytes, and its end turned to its front as RFC 4121 allows.
func sealedBy(t *testing.T, key types.EncryptionKey, b []byte, filler, turn int) []byte {
	t.Helper()
	head := []byte{5, 4, flagSealed | flagFromServer, 0xff, 0, byte(filler), 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}
	e, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		t.Fatal(err)
	}
	plain := append(append(bytes.Clone(b), make([]byte, filler)...), head...)
	_, sealed, err := e.EncryptMessage(key.KeyValue, plain, keyusage.GSSAPI_ACCEPTOR_SEAL)
	if err != nil {
		t.Fatal(err)
	}
	turn %= len(sealed)
	binary.BigEndian.PutUint16(head[6:], uint16(turn))
	return append(head, append(bytes.Clone(sealed[len(sealed)-turn:]), sealed[:len(sealed)-turn]...)...)
}

func TestLayers(t *testing.T) {
	answer := frame([]byte("an answer"))
	for _, key := range []types.EncryptionKey{keyOf(17, 16), keyOf(18, 32)} {
		for name, c := range map[string]struct {
			layer gssLayer
			token []byte
		}{
			"signed":            {gssLayer{key: key}, signedBy(t, key, answer)},
			"sealed":            {gssLayer{key: key, private: true}, sealedBy(t, key, answer, 0, 0)},
			"sealed and turned": {gssLayer{key: key, private: true}, sealedBy(t, key, answer, 3, 28)},
		} {
			got, err := c.layer.unwrap(c.token)
			if err != nil || !bytes.Equal(got, answer) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			for i := range c.token {
				broken := bytes.Clone(c.token)
				broken[i] ^= 1
				if got, err := c.layer.unwrap(broken); err == nil && !bytes.Equal(got, answer) {
					t.Errorf("%s: byte %d damaged, and taken as %q", name, i, got)
				}
			}
			for i := range c.token {
				if _, err := c.layer.unwrap(c.token[:i]); err == nil {
					t.Errorf("%s: cut at %d, and taken", name, i)
				}
			}
		}
	}
}

// TestWrappedRequests: what the client sends is what an acceptor of RFC 4121 takes.
func TestWrappedRequests(t *testing.T) {
	key := keyOf(18, 32)
	for _, private := range []bool{false, true} {
		g := &gssLayer{key: key, private: private}
		for seq := range uint64(3) {
			packet, err := g.wrap(frame([]byte("a call")))
			if err != nil {
				t.Fatal(err)
			}
			head, body := splitFrame(t, packet)
			if c := parseCall(frame(head)[4:]); c.id != callSASL {
				t.Errorf("the call id is %d", c.id)
			}
			m, err := parseSASL(body)
			if err != nil || m.state != saslWrap || binary.BigEndian.Uint64(m.token[8:]) != seq {
				t.Fatalf("%+v, %v", m, err)
			}
			if private {
				plain, err := crypto.DecryptMessage(m.token[gssHeader:], key, keyusage.GSSAPI_INITIATOR_SEAL)
				if err != nil || !bytes.Equal(plain, append(frame([]byte("a call")), m.token[:gssHeader]...)) {
					t.Errorf("%q, %v", plain, err)
				}
				continue
			}
			var w gssapi.WrapToken
			if err := w.Unmarshal(m.token, false); err != nil {
				t.Fatal(err)
			}
			if ok, err := w.Verify(key, keyusage.GSSAPI_INITIATOR_SEAL); !ok || !bytes.Equal(w.Payload, frame([]byte("a call"))) {
				t.Errorf("%q, %v", w.Payload, err)
			}
		}
	}
}

func splitFrame(t *testing.T, packet []byte) (head, body []byte) {
	t.Helper()
	var parts [][]byte
	for b := packet[4:]; len(b) > 0; {
		n, k := binary.Uvarint(b)
		parts, b = append(parts, b[k:k+int(n)]), b[k+int(n):]
	}
	if len(parts) != 2 {
		t.Fatalf("%d messages in a packet", len(parts))
	}
	return parts[0], parts[1]
}

func TestChooseLayer(t *testing.T) {
	key := keyOf(18, 32)
	for offered, want := range map[byte]byte{1: layerNone, 3: layerSigned, 7: layerPrivate, 5: layerPrivate} {
		answer, layer, err := chooseLayer(signedBy(t, key, []byte{offered, 1, 0, 0}), key)
		if err != nil || layer != want {
			t.Fatalf("offered %d: chose %d, %v", offered, layer, err)
		}
		var w gssapi.WrapToken
		if err := w.Unmarshal(answer, false); err != nil || w.Payload[0] != want {
			t.Errorf("offered %d: answered %v, %v", offered, w.Payload, err)
		}
	}
	for _, offer := range [][]byte{{8, 0, 0, 0}, {7}, {}} {
		if _, _, err := chooseLayer(signedBy(t, key, offer), key); err == nil {
			t.Errorf("the offer %v was taken", offer)
		}
	}
	if _, _, err := chooseLayer(signedBy(t, keyOf(18, 32), []byte{7, 0, 0, 0})[:20], key); err == nil {
		t.Error("a token that is cut was taken")
	}
}

// TestDenied: a ticket that is refused is a matter of credentials, a Kerberos server that is away is not.
func TestDenied(t *testing.T) {
	if err := denied(fmt.Errorf("login: %w", krberror.NewErrorf(krberror.NetworkingError, "no KDC"))); errors.Is(err, ErrCredentials) {
		t.Error(err)
	}
	if err := denied(krberror.NewErrorf(krberror.KDCError, "expired")); !errors.Is(err, ErrCredentials) {
		t.Error(err)
	}
}

func TestServicePrincipal(t *testing.T) {
	for p, want := range map[string]string{"nn/_HOST@EXAMPLE.ORG": "nn/nn1.example.org", "nn/fixed@EXAMPLE.ORG": "nn/fixed", "hdfs": "hdfs"} {
		if got := servicePrincipal(p, "NN1.example.org:8020"); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
}
