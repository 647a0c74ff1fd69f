package membership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Drain says that a member shall own nothing more, or (off) that it may again. It is kept in etcd beside the member's own word, so it holds over restarts of the member, and for one that is not there
// at present. The next epoch has it; that the ring follows is up to the leader.
func (n *Node) Drain(ctx context.Context, name string, off bool) error {
	if name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("membership: %q is no member's name", name)
	}
	n.mu.Lock()
	connected := n.mu.connected
	n.mu.Unlock()
	if !connected {
		return fmt.Errorf("membership: whether %q drains is kept in etcd, which has not been reached yet: %w", name, errors.Join(n.Trouble()))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key, err := n.store.key("drained", name), error(nil)
	if off {
		_, err = n.o.Client.Delete(ctx, key)
	} else {
		_, err = n.o.Client.Put(ctx, key, time.Now().UTC().Format(time.RFC3339))
	}
	if err != nil {
		return fmt.Errorf("membership: whether %q drains is kept in etcd, which did not answer: %w", name, err)
	}
	return nil
}

// drained reads whom operators want to own nothing.
func (s store) drained(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.client.Get(ctx, s.key("drained", ""), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("membership: who drains cannot be read: %w", err)
	}
	out := map[string]bool{}
	for _, kv := range r.Kvs {
		out[strings.TrimPrefix(string(kv.Key), s.key("drained", ""))] = true
	}
	return out, nil
}
