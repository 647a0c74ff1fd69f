package consistency

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/alio-lake/alio/hdfs"
	"github.com/alio-lake/alio/itest/harness"
	"github.com/alio-lake/alio/origin"
)

// do gives a command that must succeed.
func do(t *testing.T, fs *harness.HDFS, format string, args ...any) {
	t.Helper()
	_, err := fs.Do(t.Context(), fmt.Sprintf(format, args...))
	must(t, err)
}

// write makes a file of n bytes of a seed.
func write(t *testing.T, fs *harness.HDFS, path string, seed uint64, n int) {
	t.Helper()
	do(t, fs, "create w %s", path)
	do(t, fs, "fill w %d 0 %d", seed, n)
	do(t, fs, "close w")
}

func counts(t *testing.T, fs *harness.HDFS) harness.HDFSCounts {
	t.Helper()
	c, err := fs.Counts(t.Context())
	must(t, err)
	return c
}

// readWhole reads a file by one way and checks that it is n bytes of a seed.
func readWhole(t *testing.T, way reader, path string, seed uint64, n int) {
	t.Helper()
	a, err := way.read(t.Context(), origin.ReadRequest{Path: path, Length: origin.WholeRange})
	must(t, err)
	want := make([]byte, n)
	harness.Pattern(want, seed, 0)
	if !bytes.Equal(a.data, want) {
		t.Fatalf("%s: %d bytes of %s are not the %d that were written", way.name, len(a.data), path, n)
	}
}

// An append to a file of ten blocks costs the DataNodes a read of the last block, not of the others; a read that repeats costs nothing.
func TestAppendRefetchesTheLastBlock(t *testing.T) {
	const size = 9*hdfsBlock + 40_000
	fs, or := newHDFS(t, harness.HDFSOptions{BlockSize: hdfsBlock})
	write(t, fs, "/f", 1, size)
	for _, way := range sidecars(t, or, 0)[:1] {
		readWhole(t, way, "f", 1, size)
		cold := counts(t, fs).BytesRead()
		readWhole(t, way, "f", 1, size)
		warm := counts(t, fs).BytesRead() - cold
		do(t, fs, "append w /f")
		do(t, fs, "fill w 1 %d 1000", size)
		do(t, fs, "close w")
		before := counts(t, fs).BytesRead()
		readWhole(t, way, "f", 1, size+1000)
		appended := counts(t, fs).BytesRead() - before
		t.Logf("%s: DataNodes read %d bytes for the first read of %d, %d for the second, %d after an append of 1000 to the last block of 40000", way.name, cold, size, warm, appended)
		if warm != 0 || appended < 41_000 || appended > hdfsBlock*5/4 {
			t.Errorf("%s: want 0 bytes for a repeated read and one block after the append", way.name)
		}
	}
}

// The DataNode that serves a read is killed, and the NameNode fails over and then dies, while one read goes on: it succeeds, byte for
// byte.
func TestReadSurvivesDeadServers(t *testing.T) {
	const size = 24 << 20
	fs, or := newHDFS(t, harness.HDFSOptions{HA: true, DataNodes: 2})
	write(t, fs, "/f", 1, size)
	for i, way := range []func(ctx context.Context) (origin.Content, error){
		func(ctx context.Context) (origin.Content, error) {
			return newSidecar(t, or, 0).Open(ctx, mount, origin.ReadRequest{Path: "f", Length: origin.WholeRange}, nil)
		},
		func(ctx context.Context) (origin.Content, error) {
			return or.Read(ctx, origin.ReadRequest{Path: "f", Length: origin.WholeRange})
		},
	} {
		t.Run([]string{"sidecar", "origin"}[i], func(t *testing.T) {
			for _, fault := range [][]string{
				{"datanode stop 0", "datanode start 0", "datanode stop 1", "datanode start 1"},
				{"failover 1", "namenode stop 0", "namenode start 0", "failover 0", "namenode stop 1", "namenode start 1"},
			} {
				c, err := way(t.Context())
				must(t, err)
				readBeside(t, c.Body, size, func(n int) {
					do(t, fs, "%s", fault[n])
				}, len(fault))
				must(t, c.Body.Close())
			}
		})
	}
}

// readBeside reads a body of seed 1 in equal steps and does something between them.
func readBeside(t *testing.T, body io.Reader, size int, between func(n int), steps int) {
	t.Helper()
	got, want := make([]byte, size/(steps+1)), make([]byte, size/(steps+1))
	at := int64(0)
	for n := range steps {
		_, err := io.ReadFull(body, got)
		must(t, err)
		harness.Pattern(want, 1, at)
		if !bytes.Equal(got, want) {
			t.Fatalf("bytes at %d, after %d faults, are others than were written", at, n)
		}
		at += int64(len(got))
		between(n)
	}
	rest, err := io.ReadAll(body)
	must(t, err)
	want = make([]byte, int64(size)-at)
	harness.Pattern(want, 1, at)
	if !bytes.Equal(rest, want) {
		t.Fatalf("the last %d bytes are others than were written", len(rest))
	}
}

// What a hundred reads cost the NameNode and the DataNodes, with Hadoop's own client, with the origin alone, and through sidecars.
func TestNameNodeCallsOfRepeatedReads(t *testing.T) {
	const size, reads = 9*hdfsBlock + 40_000, 100
	fs, or := newHDFS(t, harness.HDFSOptions{BlockSize: hdfsBlock})
	write(t, fs, "/f", 1, size)
	ways := []reader{
		{name: "Hadoop's client", read: func(ctx context.Context, req origin.ReadRequest) (answer, error) {
			_, err := fs.Do(ctx, fmt.Sprintf("read /f 0 %d", size))
			data := make([]byte, size)
			harness.Pattern(data, 1, 0)
			return answer{data: data}, err
		}},
		{name: "the origin alone", read: readOrigin(or)},
	}
	ways = append(ways, sidecars(t, or, 0, 10*time.Second)...)
	for i, way := range ways {
		readWhole(t, way, "f", 1, size)
		before := counts(t, fs)
		for range reads {
			readWhole(t, way, "f", 1, size)
		}
		after := counts(t, fs)
		total, by := after.ClientRPCs()
		was, byWas := before.ClientRPCs()
		for method := range by {
			if by[method] -= byWas[method]; by[method] == 0 {
				delete(by, method)
			}
		}
		calls, read := total-was, after.BytesRead()-before.BytesRead()
		t.Logf("%d reads by %s: %d calls of the NameNode %v, %d bytes read by DataNodes", reads, way.name, calls, by, read)
		if i < 2 {
			continue
		}
		if read != 0 || way.maxAge == 0 && calls > reads || way.maxAge > 0 && calls > 1 {
			t.Errorf("%s: want no byte, at most one call a read at max_age 0, and none above it", way.name)
		}
	}
}

// With tickets of a real KDC, block tokens and authenticated data transfer, files are read as without; and nobody is let in without a key.
func TestKerberos(t *testing.T) {
	const size = 300_000
	fs := harness.NewHDFS(t, harness.HDFSOptions{Kerberos: true, BlockSize: hdfsBlock})
	write(t, fs, "/f", 1, size)
	opts := hdfs.Options{URI: fs.URI, ConfDir: fs.ConfDir, KerberosConf: fs.Krb5Conf, Principal: fs.Principal, Keytab: fs.Keytab}
	or, err := hdfs.New(opts)
	must(t, err)
	t.Cleanup(func() { _ = or.Close() }) // never fails
	for _, way := range sidecars(t, or, 0) {
		readWhole(t, way, "f", 1, size)
	}
	opts.Principal = "nobody@" + harness.KDCRealm
	stranger, err := hdfs.New(opts)
	if err == nil {
		t.Cleanup(func() { _ = stranger.Close() }) // never fails
		_, err = stranger.Stat(t.Context(), "f")
	}
	if err == nil {
		t.Error("a principal that the KDC does not know was let in")
	}
	t.Logf("without a key: %v", err)
}
