//go:build bench

package affinity

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestPeersBench prints what a miss takes at the S3 door when the origin answers and when a peer does, file by file in turns: files of 64 KiB and 1 MiB whose status is
// known, a real S3 server on the same machine without latency of its own, three sidecars.
func TestPeersBench(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	p := startPeered(t, "patience: 1s, timeout: 2s")
	const n = 150
	before := 0.0
	t.Log("\n| a miss of | answered by | median us | 90 % us | p99 us |\n| --- | --- | ---: | ---: | ---: |")
	for _, size := range []int{64 << 10, 1 << 20} {
		p.size = size
		paths := p.put(ctx, fmt.Sprintf("b%d", size), n)
		owners := p.owners(ctx, "b", paths)
		mount, prefix := "lake", fmt.Sprintf("b%d/", size)
		_, err := p.doors["a"].ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: &mount, Prefix: &prefix}) // told to all
		need(t, err)
		p.settled(ctx)
		p.cost(ctx)
		var fromOrigin, fromPeer []time.Duration
		for i, path := range paths {
			other := map[string]string{"a": "b", "b": "c", "c": "a"}[owners[i]]
			fromOrigin = append(fromOrigin, p.timed(ctx, owners[i], path))
			fromPeer = append(fromPeer, p.timed(ctx, other, path))
		}
		cost := p.cost(ctx)
		for name, all := range map[string][]time.Duration{"the origin": fromOrigin, "the owner": fromPeer} {
			slices.Sort(all)
			t.Logf("| %d KiB | %s | %d | %d | %d |", size>>10, name, all[n/2].Microseconds(), all[n*9/10].Microseconds(), all[n-2].Microseconds())
		}
		hits := p.sum(ctx, `alio_peer_reads_total{owner="now",result="hit"}`, "a", "b", "c")
		t.Logf("requests of these reads: %v; %v of %v fills of the second readers by peers", cost, hits-before, n)
		before = hits
	}
}

// timed reads a file and tells how long that took.
func (p *peered) timed(ctx context.Context, by, path string) time.Duration {
	p.t.Helper()
	mount, most := "lake", fmt.Sprintf("bytes=0-%d", len(p.files[path])-2) // all of it would want attributes, which a listing does not tell
	began := time.Now()
	got, err := p.doors[by].GetObject(ctx, &awss3.GetObjectInput{Bucket: &mount, Key: &path, Range: &most})
	need(p.t, err)
	_, err = io.Copy(io.Discard, got.Body)
	took := time.Since(began)
	need(p.t, err)
	need(p.t, got.Body.Close())
	return took
}
