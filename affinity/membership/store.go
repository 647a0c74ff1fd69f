package membership

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/alio-lake/alio/affinity/ring"
)

// What lies in etcd, below the prefix:
//
//	members/<name>          a member with its load, in JSON, under its lease
//	heat/<lease>            which sections one process was asked about how often, in JSON, under its lease
//	drained/<name>          an operator wants this member to own nothing; it stays until taken back, whether the member is there or not
//	leader/                 the election
//	epoch                   which epoch is in force: pointer, in JSON. Only a leader writes it, and only while it leads
//	chunks/<hash>/<number>  the epoch's bytes, as ring.Chunks cuts them; written before the pointer, removed after the next but one
type store struct {
	client *clientv3.Client
	prefix string
}

// callTimeout bounds one request: etcd that does not answer is away.
const callTimeout = 5 * time.Second

// pointer says which epoch is in force, and which was before.
type pointer struct {
	Number uint64 `json:"number"`
	Hash   string `json:"hash"`
	Before string `json:"before"`
}

// errDeposed is what a leader gets that is none any more, or whose epoch somebody else has replaced.
var errDeposed = errors.New("membership: not the leader any more")

func (s store) key(parts ...string) string { return s.prefix + strings.Join(parts, "/") }

// current reads the pointer, and the revision of the store it was read at; ok is false if there is none.
func (s store) current(ctx context.Context) (p pointer, modified, revision int64, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.key("epoch"))
	if err != nil {
		return p, 0, 0, false, fmt.Errorf("membership: the epoch in force cannot be read: %w", err)
	}
	if len(r.Kvs) == 0 {
		return p, 0, r.Header.Revision, false, nil
	}
	p, err = parsePointer(r.Kvs[0].Value)
	return p, r.Kvs[0].ModRevision, r.Header.Revision, err == nil, err
}

func parsePointer(b []byte) (p pointer, err error) {
	if json.Unmarshal(b, &p) != nil {
		return p, fmt.Errorf("membership: %w: the pointer to the epoch in force is %.80q", ring.ErrCorrupt, b)
	}
	if raw, err := hex.DecodeString(p.Hash); err != nil || len(raw) != len(ring.Hash{}) {
		return p, fmt.Errorf("membership: %w: the pointer to the epoch in force has hash %.80q", ring.ErrCorrupt, p.Hash)
	}
	return p, nil
}

// epoch reads and checks the epoch that a pointer names.
func (s store) epoch(ctx context.Context, p pointer) (*ring.Epoch, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.key("chunks", p.Hash, ""), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("membership: epoch %d cannot be read: %w", p.Number, err)
	}
	var chunks [][]byte
	for _, kv := range r.Kvs {
		chunks = append(chunks, kv.Value)
	}
	encoding, err := ring.Join(chunks)
	if err != nil {
		return nil, fmt.Errorf("membership: epoch %d: %w", p.Number, err)
	}
	e, err := ring.Decode(encoding)
	if err != nil {
		return nil, fmt.Errorf("membership: epoch %d: %w", p.Number, err)
	}
	if hash := e.Hash(); hex.EncodeToString(hash[:]) != p.Hash || e.Number() != p.Number {
		return nil, fmt.Errorf("membership: %w: the pointer names epoch %d, and its chunks are another", ring.ErrCorrupt, p.Number)
	}
	return e, nil
}

// publish writes an epoch, chunks first, then the pointer, if the one that leads still does and the pointer is the one that it edited (modified; 0: there was none).
func (s store) publish(ctx context.Context, e *ring.Epoch, before pointer, modified int64, leads clientv3.Cmp, chunkSize int) error {
	chunks, err := ring.Chunks(e.Encode(), chunkSize)
	if err != nil {
		return err
	}
	hash := e.Hash()
	p := pointer{Number: e.Number(), Hash: hex.EncodeToString(hash[:]), Before: before.Hash}
	for i, chunk := range chunks {
		if err := s.guarded(ctx, clientv3.OpPut(s.key("chunks", p.Hash, fmt.Sprintf("%06d", i)), string(chunk)), leads); err != nil {
			return err
		}
	}
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := s.guarded(ctx, clientv3.OpPut(s.key("epoch"), string(value)), leads, clientv3.Compare(clientv3.ModRevision(s.key("epoch")), "=", modified)); err != nil {
		return err
	}
	s.clean(ctx, p)
	return nil
}

// guarded does one write if the conditions hold.
func (s store) guarded(ctx context.Context, op clientv3.Op, conditions ...clientv3.Cmp) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.client.Txn(ctx).If(conditions...).Then(op).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("membership: an epoch cannot be published: %w", err)
	case !r.Succeeded:
		return errDeposed
	}
	return nil
}

// clean removes chunks of epochs that are neither in force nor the one before it, which a slow reader may still be reading. What it misses the next epoch cleans up.
func (s store) clean(ctx context.Context, p pointer) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.key("chunks", ""), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return
	}
	last := ""
	for _, kv := range r.Kvs { // in order of their keys
		hash, _, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), s.key("chunks", "")), "/")
		if hash != p.Hash && hash != p.Before && hash != last {
			_, _ = s.client.Delete(ctx, s.key("chunks", hash, ""), clientv3.WithPrefix())
			last = hash
		}
	}
}

// members reads who has announced itself, and the revision of the store it was read at. What is no member is left out and named in bad.
func (s store) members(ctx context.Context) (members []Announced, bad []string, revision int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.key("members", ""), clientv3.WithPrefix())
	if err != nil {
		return nil, nil, 0, fmt.Errorf("membership: the members cannot be read: %w", err)
	}
	for _, kv := range r.Kvs {
		name := strings.TrimPrefix(string(kv.Key), s.key("members", ""))
		var m Announced
		if json.Unmarshal(kv.Value, &m) != nil || m.Name != name {
			bad = append(bad, name)
			continue
		}
		members = append(members, m)
	}
	return members, bad, r.Header.Revision, nil
}
